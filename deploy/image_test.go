package deploy_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// instruction is a line of the Dockerfile, continued lines joined.
type instruction struct{ name, text string }

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(text), "")
	plain = strings.ReplaceAll(plain, "\\\n", "")
	var found []instruction
	for line := range strings.Lines(plain) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			found = append(found, instruction{name, strings.TrimSpace(rest)})
		}
	}
	return found
}

// built is the image's build, run once for all tests that look at what it made.
var built struct {
	once   sync.Once
	folder string
	err    error
	output []byte
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built.folder)
	os.Exit(code)
}

// build runs the Dockerfile's RUN commands as they stand, in a folder that holds what git knows of this tree, and
// returns the program that they made.
func build(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the image's commands are those of Linux")
	}
	commands := dockerfile(t)
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "kycq-image-*"); built.err != nil {
			return
		}
		if built.err = export(built.folder); built.err != nil {
			return
		}
		for _, c := range commands {
			if c.name == "FROM" && !strings.HasSuffix(c.text, " AS build") {
				break // the other stages install packages
			}
			if c.name != "RUN" || built.err != nil {
				continue
			}
			cmd := exec.Command("sh", "-ec", regexp.MustCompile(`--mount=\S+ `).ReplaceAllString(c.text, ""))
			cmd.Dir = built.folder
			cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=v9.8.7", "COMMIT=0123456789ab", "GOFLAGS=", "GOWORK=off")
			built.output, built.err = cmd.CombinedOutput()
		}
	})
	if errors.Is(built.err, errNoGit) {
		t.Skip("the test exports what git knows, and this tree is not a repository")
	}
	if built.err != nil {
		t.Fatalf("%v: %s", built.err, built.output)
	}
	return filepath.Join(built.folder, "out", "kycq")
}

var errNoGit = errors.New("no git repository")

// export unpacks the last commit.
func export(to string) error {
	cmd := exec.Command("git", "-c", "safe.directory=*", "archive", "--format=tar", "HEAD")
	cmd.Dir = root
	archive, err := cmd.Output()
	if err != nil {
		return errNoGit
	}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeReg:
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, content, h.FileInfo().Mode())
			}
		}
		if err != nil {
			return err
		}
	}
}

func TestTheImagesProgramIsStaticAndStamped(t *testing.T) {
	t.Parallel()
	program := build(t)
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v, %v", libraries, err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic loader, which the image does not have")
		}
	}
	out, err := exec.Command(program, "version").Output()
	if err != nil || !strings.Contains(string(out), "kycq v9.8.7 (commit 0123456789ab,") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestTheImageHoldsTheProgramAndRunsAsNobody(t *testing.T) {
	t.Parallel()
	var from, copies, alike []string
	last := map[string]string{}
	for _, i := range dockerfile(t) {
		last[i.name] = i.text
		switch i.name {
		case "FROM":
			from, alike, copies = append(from, i.text), copies, nil
		case "COPY", "LABEL", "USER", "ENTRYPOINT", "CMD", "EXPOSE":
			copies = append(copies, i.name+" "+i.text)
		}
	}
	// The last stage is what is built without --target.
	if len(from) != 3 || !strings.HasSuffix(from[1], " AS ocr") || !strings.HasPrefix(from[2], "gcr.io/distroless/static") {
		t.Errorf("stages: %v", from)
	}
	if !slices.Equal(alike, copies) {
		t.Errorf("the images differ:\n%s\n%s", strings.Join(alike, "\n"), strings.Join(copies, "\n"))
	}
	if last["USER"] != "65532:65532" || last["ENTRYPOINT"] != `["/kycq"]` {
		t.Errorf("user %s, entrypoint %s", last["USER"], last["ENTRYPOINT"])
	}
	folder := filepath.Dir(filepath.Dir(build(t)))
	for _, c := range copies {
		words := strings.Fields(c)
		if words[0] != "COPY" {
			continue
		}
		for _, source := range words[1 : len(words)-1] {
			if strings.HasPrefix(source, "--") {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, strings.TrimPrefix(source, "/src/"))); err != nil {
				t.Errorf("COPY %s: %v", c, err)
			}
		}
	}
}

// Each command of the compose file is one of the program's, with flags that it knows.
func TestTheCommandsOfTheComposeFileExist(t *testing.T) {
	t.Parallel()
	folder := filepath.Dir(build(t))
	run := func(args ...string) { // args[0] is a path in the image
		cmd := exec.Command(filepath.Join(folder, args[0]), append(args[1:], "--help")...)
		cmd.Env = []string{}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	for _, s := range everything(t).Services {
		if s.Image != "kycq:local" {
			continue
		}
		if len(s.Command) > 0 {
			entrypoint := s.Entrypoint
			if len(entrypoint) == 0 {
				entrypoint = []string{"/kycq"}
			}
			run(slices.Concat(entrypoint, s.Command)...)
		}
		if s.HealthCheck != nil {
			if s.HealthCheck.Test[1] != "/kycq" {
				t.Errorf("%s is checked by %v, which is not in the image", s.Name, s.HealthCheck.Test)
			}
			run(s.HealthCheck.Test[1:]...)
		}
	}
}

// Volumes take over the owner of the folder in the image that they are mounted on for the first time.
func TestVolumesThatAreWrittenBelongToTheImagesUser(t *testing.T) {
	t.Parallel()
	owned := map[string]bool{}
	for _, i := range dockerfile(t) {
		if words := strings.Fields(i.text); i.name == "COPY" && strings.Contains(i.text, "--chown=65532:65532") {
			owned[words[len(words)-1]] = true
		}
	}
	for _, s := range everything(t).Services {
		for _, v := range s.Volumes {
			if s.Image == "kycq:local" && !owned[v.Target] {
				t.Errorf("%s: %s is not a folder of the image's user", s.Name, v.Target)
			}
		}
	}
}
