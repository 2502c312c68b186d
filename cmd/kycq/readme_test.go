package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
)

const (
	settingsBegin = "<!-- settings: made by UPDATE_GOLDEN=1 go test ./cmd/kycq -run Readme -->\n"
	settingsEnd   = "<!-- /settings -->"
)

func TestTheReadmeListsAllSettings(t *testing.T) {
	t.Parallel()
	want := settingsTable(newRoot(&cli.App{}))
	const path = "../../README.md"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), settingsBegin)
	table, tail, ok2 := strings.Cut(rest, settingsEnd)
	if !ok || !ok2 {
		t.Fatal("the README lacks the comments around its table of settings")
	}
	if table == want {
		return
	}
	if os.Getenv("UPDATE_GOLDEN") == "" {
		t.Fatal("the README's table differs from the code: run UPDATE_GOLDEN=1 go test ./cmd/kycq -run Readme")
	}
	if err := os.WriteFile(path, []byte(head+settingsBegin+want+settingsEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

var inlineCommand = regexp.MustCompile("`kycq ([^`]+)`")

// Every command that the runbook and the page for newcomers name exists, with its flags.
func TestTheCommandsOfTheRunbookExist(t *testing.T) {
	t.Parallel()
	var text []byte
	for _, path := range []string{"../../deploy/RUNBOOK.md", "../../docs/MOVING-IN.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, page...)
	}
	root := newRoot(&cli.App{})
	found := inlineCommand.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\n", " "), -1)
	if len(found) < 30 {
		t.Errorf("only %d commands", len(found))
	}
	for _, m := range found {
		words := strings.Fields(m[1])
		cmd, _, err := root.Find(words)
		if err != nil || !cmd.Runnable() {
			t.Errorf("kycq %s: no such command", m[1])
			continue
		}
		for _, word := range words {
			if name, ok := strings.CutPrefix(word, "--"); ok && name != "help" && cmd.Flags().Lookup(name) == nil {
				t.Errorf("kycq %s: no flag --%s", m[1], name)
			}
		}
	}
}

// externals are variables that libraries read.
var externals = []struct{ name, help string }{
	{"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "S3 credentials; all other sources of the AWS credential chain (profiles, web identity, instance roles) work too"},
	{"AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE", "S3 credentials from a file, for example a container's secret"},
	{"AWS_CA_BUNDLE", "file with CA certificates, for an S3 server with a private CA"},
	{"NO_COLOR", "if set, the console log has no colours"},
}

// settingsTable is the table in Markdown.
func settingsTable(root *cobra.Command) string {
	var text strings.Builder
	text.WriteString("| variable | flag | default | description | used by |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range config.Settings() {
		variable, flag, byDefault := "`"+s.Env()+"`", "", ""
		if s.File {
			variable += ", `" + s.Env() + "_FILE`"
		}
		for _, name := range []string{s.Flag(), s.FileFlag()} {
			if name != "" {
				flag += "`--" + name + "` "
			}
		}
		if s.Default != "" {
			byDefault = "`" + s.Default + "`"
		}
		_, _ = fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", variable, strings.TrimSpace(flag), byDefault,
			strings.ReplaceAll(s.Help, "|", `\|`), strings.Join(users(root, s.Area), ", "))
	}
	for _, e := range externals {
		_, _ = fmt.Fprintf(&text, "| `%s` | | | %s | |\n", strings.ReplaceAll(e.name, ", ", "`, `"), e.help)
	}
	return text.String()
}

// users lists the top-level commands that use an area, except config, which reads all.
func users(cmd *cobra.Command, area config.Area) []string {
	var names []string
	if slices.Contains(cli.AreasOf(cmd), area) {
		name, _, _ := strings.Cut(strings.TrimPrefix(cmd.CommandPath(), "kycq "), " ")
		names = append(names, name)
	}
	for _, child := range cmd.Commands() {
		if child.Name() != "config" {
			names = append(names, users(child, area)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
