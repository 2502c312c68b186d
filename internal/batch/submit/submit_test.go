package submit

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

type silent struct{}

func (silent) Begin(string, int64, string) {}
func (silent) Add(int64)                   {}

// fixture is a manifest, and a store whose writes can be made to fail.
type fixture struct {
	t      *testing.T
	server *storagetest.Server
	store  *storage.Store
	keyset *tasks.Keyset
	opt    Options
}

func setup(t *testing.T, kind tasks.Kind, text string) *fixture {
	t.Helper()
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := storagetest.StartFake(t)
	return &fixture{t: t, server: server, store: server.Store(t), keyset: keyset, opt: Options{Kind: kind, Path: path, Keyset: keyset}}
}

func passports(rows int) string {
	var text strings.Builder
	text.WriteString("verification_id,file_number,dob,name,note\n")
	for i := range rows {
		_, _ = fmt.Fprintf(&text, "ID%05d,SPEC%05d,1990-01-31,SPECIMEN Person,=1+%d\n", i, i, i)
	}
	return text.String()
}

func (b *fixture) check() (*Source, *Plan) {
	b.t.Helper()
	s, err := Open(b.t.Context(), b.opt, silent{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = s.Close() })
	plan, err := s.Check(b.t.Context(), b.store, silent{})
	if err != nil {
		b.t.Fatal(err)
	}
	return s, plan
}

// submit is one run of the command, without enqueuing.
func (b *fixture) submit(ctx context.Context) (*batch.Batch, error) {
	s, err := Open(ctx, b.opt, silent{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	plan, err := s.Check(ctx, b.store, silent{})
	if err != nil {
		return nil, err
	}
	w := &Writer{Source: s, Plan: plan, Store: b.store, Progress: silent{}}
	bt, err := w.Write(ctx)
	if err != nil {
		return nil, err
	}
	_, err = batch.NewStore(b.store).Accept(ctx, bt)
	return bt, err
}

// items reads the accepted rows back.
func (b *fixture) items(bt *batch.Batch) []manifest.Item {
	b.t.Helper()
	var items []manifest.Item
	parts := batch.PartsOf(b.store, b.keyset, bt)
	for n := range manifest.Parts(bt.Rows) {
		part, err := parts.Part(b.t.Context(), n)
		if err != nil {
			b.t.Fatal(err)
		}
		items = append(items, part.Items...)
	}
	return items
}

// A submission that is killed at any of its writes is completed by the same command, with every row once.
func TestAKilledSubmissionIsCompletedByTheSameCommand(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, passports(4200))
	kills := 0
	for at := int64(1); ; at++ {
		var writes atomic.Int64
		ctx, die := context.WithCancel(t.Context())
		b.server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPut && writes.Add(1) == at {
				die()
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
		bt, err := b.submit(ctx)
		die()
		if err != nil {
			kills++
			continue
		}
		items := b.items(bt)
		seen := map[string]bool{}
		for i, it := range items {
			seen[it.ID] = true
			if it.Row != i+1 || it.ID != fmt.Sprintf("ID%05d", i) {
				t.Fatalf("item %d is row %d, %s", i, it.Row, it.ID)
			}
		}
		if len(items) != 4200 || len(seen) != 4200 || kills < 2 {
			t.Errorf("%d rows, %d ids, after %d kills", len(items), len(seen), kills)
		}
		return
	}
}

func TestTheSameCommandAgainWritesNoPartAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, passports(2500))
	first, err := b.submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var parts atomic.Int64
	b.server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifest/") {
			parts.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	again, err := b.submit(t.Context())
	if err != nil || again.ID != first.ID || parts.Load() != 0 {
		t.Errorf("%v: %d parts were written again", err, parts.Load())
	}
}

func TestAChangedFileIsAnotherBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, passports(3))
	one, _ := b.check()
	if err := os.WriteFile(b.opt.Path, []byte(passports(4)), 0o600); err != nil {
		t.Fatal(err)
	}
	two, _ := b.check()
	if one.ID == two.ID || !strings.HasPrefix(one.ID, "people-") || batch.CheckID(one.ID) != nil {
		t.Errorf("%s and %s", one.ID, two.ID)
	}
}

func TestRejectsHaveLineCodeAndColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, `code,verification_id,file_number,dob,name
c,A1,SPEC1,1990-01-31,=cmd
c,A1,SPEC2,1990-01-31,x
c,A2,SPEC 2,1990-01-31,x
c,A3,SPEC3,1990-02-31,x
c,!!,SPEC4,1990-01-31,=evil
c,A5
c,,SPEC6,1990-01-31,x
c,,spec6,1990-01-31,y
`)
	s, plan := b.check()
	want := map[string]int{
		"duplicate_in_file": 2, "file_number_value_invalid": 1, "dob_value_invalid": 1, "verification_id_value_invalid": 1, "field_count_wrong": 1,
	}
	if plan.Rows != 2 || plan.Rejected != 6 || fmt.Sprint(plan.Problems) != fmt.Sprint(want) {
		t.Errorf("%d rows, %v", plan.Rows, plan.Problems)
	}
	text, err := os.ReadFile(s.RejectsPath())
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(lines) != 7 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if got := strings.Join(lines[0], ","); got != "line,code,message,input_code,verification_id,file_number,dob,name,text" {
		t.Errorf("headings: %s", got)
	}
	if got := strings.Join(lines[1][:2], ","); got != "3,duplicate_in_file" || lines[4][7] != "'=evil" {
		t.Errorf("%s ... %s", got, lines[4][7])
	}
	if lines[4][8] != "c,!!,SPEC4,1990-01-31,=evil" || lines[5][8] != "c,A5" {
		t.Errorf("a row is not as it was: %q, %q", lines[4][8], lines[5][8])
	}
	if info, err := os.Stat(s.RejectsPath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the rejects: %v", err)
	}

	// Without rejects, the earlier file is removed.
	if err := os.WriteFile(b.opt.Path, []byte(passports(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.check()
	if _, err := os.Stat(s.RejectsPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the earlier rejects still exist: %v", err)
	}
}

func TestEveryRowIsAcceptedRejectedOrBlank(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		lines := []string{
			"verification_id,file_number,dob,name", "A1,SPEC1,1990-01-31,SPECIMEN", "", ",,,", "A2,SPEC2", "A3,SPEC3,1990-01-31,\"x\"y",
			"A4,SPEC4,1990-01-31,x\"y", " , ,\u200b,", "A5,SPEC5,1990-01-31,\xff", "A6,SPEC\x006,1990-01-31,", "A7,SPEC7,31/01/1990,", "A8,SPEC8,1990-01-31,",
		}
		b := setup(t, tasks.Passport, strings.Join(lines, end)+end)
		b.opt.Rejects = filepath.Join(t.TempDir(), "bad.csv")
		s, plan := b.check()
		if plan.Rows != 2 || plan.Rejected != 6 || plan.Blank != 3 || s.RejectsPath() != b.opt.Rejects {
			t.Errorf("%q: %d accepted, %d rejected, %d blank", end, plan.Rows, plan.Rejected, plan.Blank)
		}
		text, err := os.ReadFile(b.opt.Rejects)
		if err != nil {
			t.Fatal(err)
		}
		rejected, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rejected[1:] {
			line, err := strconv.Atoi(r[0])
			if err != nil || r[len(r)-1] != lines[line-1] {
				t.Errorf("line %s is %q", r[0], r[len(r)-1])
			}
		}
	}
}

// The rejects file of a file that is submitted again and again can always be read.
func TestRejectsCanBeSubmittedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, "verification_id,file_number,dob,Text\nA1,SPEC 1,1990-01-31,x\n")
	for range 4 {
		s, plan := b.check()
		if plan.Rejected != 1 || plan.Problems["file_number_value_invalid"] != 1 {
			t.Fatal(plan.Problems)
		}
		if err := os.Rename(s.RejectsPath(), b.opt.Path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRejectsFollowNoLinkOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, "verification_id,file_number,dob\nA1,SPEC 1,1990-01-31\n")
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, b.opt.Path+".rejects.csv"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("the link was accepted: %v", err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "mine" {
		t.Errorf("another file was written: %q, %v", text, err)
	}
}

func TestPlansWithOtherRejectsNeverMix(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Aadhaar, "verification_id,image\nA,a.png\nB,b.png\n")
	b.image("a.png", 40)
	source, one := b.check()
	b.image("b.png", 41)
	again, two := b.check()
	if one.Rows != 1 || two.Rows != 2 || source.ID != again.ID || one.Hash == two.Hash {
		t.Errorf("one file, %d and %d accepted rows, and the hashes %s and %s", one.Rows, two.Rows, one.Hash, two.Hash)
	}
}

// image writes an image of that width to the folder of the manifest.
func (b *fixture) image(name string, width int) {
	b.t.Helper()
	var body bytes.Buffer
	if err := png.Encode(&body, image.NewGray(image.Rect(0, 0, width, 20))); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.opt.Path), name), body.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func TestImagesAreUploadedOnceAndTheInputNamesThem(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Aadhaar, "image,customer\na.png,1\nb.png,2\nsub/../a.png,3\n")
	b.image("a.png", 40)
	b.image("b.png", 41)
	if err := os.Mkdir(filepath.Join(filepath.Dir(b.opt.Path), "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, plan := b.check()
	if plan.Rows != 2 || plan.Problems["duplicate_in_file"] != 1 || !plan.Uploads {
		t.Fatalf("the same image is the same row: %+v", plan)
	}
	bt, err := b.submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range b.items(bt) {
		job, err := it.Job(bt.ID, bt.Kind, 1)
		if err != nil || job.Validate() != nil {
			t.Fatalf("row %d: %v", it.Row, err)
		}
		img := job.Input.Image
		if !img.Uploaded || len(img.SHA256) != 64 || !strings.HasPrefix(img.Key, bt.ID+"/"+it.ID+".") {
			t.Errorf("row %d: %+v", it.Row, img)
		}
		if _, size, err := b.store.ImageHead(t.Context(), *img, 10); err != nil || size != img.Bytes {
			t.Errorf("row %d: %v", it.Row, err)
		}
	}
	if !bt.Uploads {
		t.Error("Uploads is not set")
	}
}

func TestStandardInputGetsTheSameBatchAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, "")
	ids := map[string]bool{}
	for range 2 {
		b.opt.Path, b.opt.Stdin, b.opt.Name = "-", strings.NewReader(passports(2)), "nightly"
		s, err := Open(t.Context(), b.opt, silent{})
		if err != nil {
			t.Fatal(err)
		}
		ids[s.ID] = true
		if s.RejectsPath() != "nightly.rejects.csv" {
			t.Errorf("rejects go to %s", s.RejectsPath())
		}
		_ = s.Close()
	}
	if len(ids) != 1 {
		t.Errorf("the same text has the ids %v", ids)
	}
}

// client only prepares jobs.
func (b *fixture) client() *tasks.Client {
	b.t.Helper()
	unused := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	b.t.Cleanup(func() { _ = unused.Close() })
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: unused, Ledger: b.store, Keyset: b.keyset})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

func TestADryRunKnowsWhatIsNotPaidFor(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, passports(8)+",SPEC9,1990-01-31,SPECIMEN Person,derived\n")
	record := func(id string, number int, state storage.State, change func(*storage.Record)) {
		t.Helper()
		job := tasks.Job{Kind: tasks.Passport, VerificationID: id, Lane: tasks.Bulk, Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal(fmt.Sprintf("SPEC%05d", number)), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal("SPECIMEN Person"),
		}}}
		spec, err := b.client().Prepare(job)
		if err != nil {
			t.Fatal(err)
		}
		rec := &storage.Record{State: state, JobSpec: spec}
		change(rec)
		if _, err := b.store.CreateRecord(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(*storage.Record) {}
	record("ID00000", 0, storage.StateValid, nothing)
	record("ID00001", 1, storage.StateInvalid, nothing)
	record("ID00002", 1, storage.StateValid, nothing)
	record("ID00003", 3, storage.StateQueued, nothing)
	record("ID00004", 9, storage.StateFailed, func(r *storage.Record) { r.Erased = &storage.Erasure{} })
	record("OTHER", 4, storage.StateValid, nothing)

	other := *b
	other.opt.Path = filepath.Join(t.TempDir(), "other.csv")
	rows := "verification_id,file_number,dob,name\nID00005,SPEC00005,1990-01-31,SPECIMEN Person\nID00006,SPEC6,1990-01-31,\n,spec9,1990-01-31,Corrected\nID00000,SPEC00000,1990-01-31,SPECIMEN Person\n"
	if err := os.WriteFile(other.opt.Path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := other.submit(t.Context()); err != nil {
		t.Fatal(err)
	}

	s, plan := b.check()
	known, err := s.Known(t.Context(), plan, b.store, batch.NewStore(b.store), b.client(), silent{})
	if err != nil {
		t.Fatal(err)
	}
	want := Known{DoneBy: map[string]int{"valid": 1, "invalid": 1, "erased": 1}, DifferentInput: 3, OtherBatch: 1, InProgress: 1, records: 5}
	if fmt.Sprint(*known) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", *known, want)
	}
	if e := plan.Estimate(100, 0, known, 2); e.Calls != 1 || *e.Cost != 2 || !strings.Contains(e.String(), "--ids-for") {
		t.Errorf("%d calls\n%s", e.Calls, e)
	}
}

func TestTheSamePassportIsTheSameJobInEveryFile(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, "file_number,dob,note\nspec1,31/01/1990,x\n")
	b.opt.DateFormat = "DD/MM/YYYY"
	one, err := b.submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.opt.Path, b.opt.DateFormat = filepath.Join(t.TempDir(), "february.jsonl"), ""
	if err := os.WriteFile(b.opt.Path, []byte("{\"DOB\":\"1990-01-31\",\"file_number\":\" SPEC1\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	two, err := b.submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.opt.IDsFor = "2027"
	labelled, err := b.submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := b.items(one)[0], b.items(two)[0], b.items(labelled)[0]
	if first.ID != second.ID || string(first.Input) != string(second.Input) {
		t.Errorf("%s %s and %s %s", first.ID, first.Input, second.ID, second.Input)
	}
	if third.ID == first.ID || labelled.ID == two.ID {
		t.Errorf("the label makes neither another job nor another batch: %s", labelled.ID)
	}
	same, err := batch.NewStore(b.store).SameFile(t.Context(), two.Content, two.ID)
	if err != nil || len(same) != 1 || same[0].ID != labelled.ID {
		t.Errorf("%v, %v", same, err)
	}
}

func TestTheSameInputUnderTwoIDsIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, tasks.Passport, "verification_id,file_number,dob,name\nA,SPEC1,1990-01-31,x\nB,SPEC2,1990-01-31,x\nC,spec1,1990-01-31,y\n,SPEC2,1990-01-31,x\nD,SPEC1,1990-01-30,x\n")
	if _, plan := b.check(); plan.SameInput != 2 || plan.SameLines != [2]int{2, 4} || plan.Derived != 1 {
		t.Errorf("%d same, lines %v, %d derived", plan.SameInput, plan.SameLines, plan.Derived)
	}
	c := setup(t, tasks.Aadhaar, "verification_id,image\nA,a.png\nB,b.png\nC,c.png\n")
	c.image("a.png", 40)
	c.image("b.png", 41)
	c.image("c.png", 40)
	if _, plan := c.check(); plan.Rows != 3 || plan.SameInput != 1 || plan.SameLines != [2]int{2, 4} {
		t.Errorf("%d rows, %d same, lines %v", plan.Rows, plan.SameInput, plan.SameLines)
	}
}

// What is copied from standard input is not readable in the temporary folder.
func TestTheCopyOfStandardInputIsEncrypted(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("SPECIMEN Person\n", 5000)
	s, size, err := newSpool(strings.NewReader(text))
	if err != nil || size != int64(len(text)) {
		t.Fatalf("%d bytes: %v", size, err)
	}
	defer func() { _ = s.Close() }()
	for range 2 {
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || string(got) != text {
			t.Errorf("read back %d bytes (%v)", len(got), err)
		}
	}
	raw := make([]byte, size)
	if _, err := s.file.ReadAt(raw, 0); err != nil || bytes.Contains(raw, []byte("SPECIMEN")) {
		t.Errorf("the file is readable (%v)", err)
	}
	if _, err := os.Stat(s.file.Name()); !os.IsNotExist(err) {
		t.Errorf("the file has a name: %v", err)
	}
}
