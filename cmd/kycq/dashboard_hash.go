package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/dashboard"
)

func newDashboardHash(a *app) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "hash a password from stdin for the dashboard's login",
		Long: `hash reads a password from stdin and prints NAME:HASH, a line for the file named by KYCQ_DASHBOARD_USERS_FILE. The hash is
bcrypt.`,
		Example: `  kycq dashboard hash --user asha >> dashboard.users; chmod 600 dashboard.users
  pass show kycq/dashboard | kycq dashboard hash --user asha`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(*cobra.Command, []string) error {
			password, err := a.readPassword()
			if err != nil {
				return err
			}
			line, err := dashboard.HashUser(user, password)
			if err != nil {
				return cli.UsageError(err)
			}
			name, hash, _ := strings.Cut(line, ":")
			return a.Answer(map[string]string{"user": name, "hash": hash}, func() string { return line + "\n" })
		}),
	}
	cmd.Flags().StringVar(&user, "user", "", "name of the user")
	_ = cmd.MarkFlagRequired("user")
	return cmd
}

// readPassword reads the first line of stdin; at a terminal it prompts, without echo.
func (a *app) readPassword() (string, error) {
	if f, ok := a.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(a.Err, "Password: ")
		text, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(a.Err)
		return string(text), err
	}
	const enough = 4096
	text, err := io.ReadAll(io.LimitReader(a.In, enough))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", cli.UsageError(errors.New("no password on stdin"))
	}
	return line, nil
}
