package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/api"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/outfile"
)

func newServeKey(a *app) *cobra.Command {
	var name, scope, path string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "key --name NAME --scope SCOPES --file FILE",
		Short: "make a key of the API",
		Long: `key appends a line to FILE (mode 0600 if it is new), the file that KYCQ_API_KEYS_FILE names, and prints the token of the key, once: the line
holds its SHA-256 only. A process that serves reads the line within 2 seconds. To revoke the key, remove the line. To replace
it, make another key of the same name, give it to the program, and remove the first line.

Scopes: submit (jobs), read (jobs, masked images), operate (retry, cancel, review), reveal (decrypt answers).`,
		Example: `  kycq serve key --name app1 --scope submit,read --file api.keys
  kycq serve key --name audit-2027 --scope reveal --file api.keys --life 24h`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(*cobra.Command, []string) error {
			scopes, err := api.ParseScopes(scope)
			if err != nil {
				return cli.Usagef("--scope: %w", err)
			}
			if path == "" {
				return cli.Usagef("--file: name the file of keys, which is created if it does not exist")
			}
			if life < 0 {
				return cli.Usagef("--life: must be 0 (no end) or more")
			}
			var expires time.Time
			if life > 0 {
				expires = time.Now().Add(life)
			}
			token := api.NewToken()
			line, err := api.KeyLine(name, scopes, expires, token)
			if err != nil {
				return cli.Usagef("--name: %w", err)
			}
			if err := appendLine(path, line); err != nil {
				return err
			}
			a.Note("the line of %s is in %s; the token is not shown again", name, path)
			return a.Answer(map[string]string{"name": name, "token": token}, func() string { return token + "\n" })
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the key, for the audit trail (required)")
	cmd.Flags().StringVar(&scope, "scope", "", "scopes, separated by commas (required)")
	cmd.Flags().StringVar(&path, "file", "", "file of keys (required)")
	cmd.Flags().DurationVar(&life, "life", 0, "how long the key is in force; 0: until its line is removed")
	return cmd
}

// appendLine replaces a file by one with a further line and the same mode: a server in a container may have another user id.
func appendLine(path, line string) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the file of keys: %w", err)
	}
	text := string(before)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	f, err := outfile.Create(path)
	if err != nil {
		return fmt.Errorf("write the file of keys: %w", err)
	}
	defer f.Discard()
	if _, err := f.WriteString(text + line + "\n"); err != nil {
		return fmt.Errorf("write the file of keys: %w", err)
	}
	if info, err := os.Stat(path); err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return fmt.Errorf("write the file of keys: %w", err)
		}
	}
	return f.Commit()
}
