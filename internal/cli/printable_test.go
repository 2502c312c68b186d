package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
)

// Records, Redis and manifests may hold texts of others: nothing that is printed controls the terminal.
func TestAnswersRemarksAndErrorsArePrintable(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2J\u009b31m\u202e\r\x07"
	for _, flags := range [][]string{{"x"}, {"x", "--json"}} {
		p := cli.Program{Name: "specimen", Root: func(a *cli.App) *cobra.Command {
			root := &cobra.Command{Use: "specimen"}
			root.AddCommand(&cobra.Command{Use: "x", RunE: a.Command(func(*cobra.Command, []string) error {
				a.Warn(hostile)
				a.Note("%s", hostile)
				if err := a.Answer(hostile, func() string { return hostile }); err != nil {
					return err
				}
				return errors.New(hostile)
			})})
			return root
		}}
		var out, errs bytes.Buffer
		p.Run(t.Context(), flags, &bytes.Buffer{}, &out, &errs, nil)
		for name, got := range map[string]string{"stdout": out.String(), "stderr": errs.String()} {
			if !strings.Contains(got, `\u001b[2J`) || strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%v: %s: %q", flags, name, got)
			}
		}
	}
}
