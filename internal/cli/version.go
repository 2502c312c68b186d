package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Build identifies the binary.
type Build struct {
	Program string `json:"-"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (b Build) String() string {
	return fmt.Sprintf("%s %s (commit %s, %s, %s/%s)", b.Program, b.Version, b.Commit, b.Go, b.OS, b.Arch)
}

// readBuild takes what the linker stamped, else what Go recorded.
func readBuild(p Program) Build {
	b := Build{Program: p.Name, Version: p.Version, Commit: p.Commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if b.Commit == "" && s.Key == "vcs.revision" {
				b.Commit = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	b.Version = cmp.Or(b.Version, "dev")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}

// NewVersion is the command version.
func NewVersion(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print version, commit and platform",
		Example: fmt.Sprintf("  %[1]s version\n  %[1]s version --json", a.Name),
		Args:    cobra.NoArgs,
		RunE: a.Command(func(*cobra.Command, []string) error {
			return a.Answer(a.Build, func() string { return a.Build.String() + "\n" })
		}),
	}
}
