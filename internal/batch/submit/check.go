package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// Plan is what checking found: the rows that would be accepted, and why the others would not.
type Plan struct {
	// Hash stands for all that decides which rows are accepted; the parts are written under it.
	Hash           string
	Rows, Rejected int
	// Problems counts the rejected rows by code.
	Problems map[string]int
	// Messages says each code in words.
	Messages map[string]string
	Columns  []string
	// Uploads says that there are images to be uploaded.
	Uploads bool

	rejected bits             // by the row's number in the file
	lines    map[idHash]int32 // of the accepted rows, by id
}

const (
	// checkRows is how many rows are checked at a time, checkParallel by how many goroutines: images wait for the disk.
	checkRows     = 500
	checkParallel = 8
	codeDuplicate = "duplicate_in_file"
)

// Check reads all rows and judges each. The rejected ones are written to RejectsPath. The error is a *manifest.FileError
// where the file cannot be read to its end.
func (s *Source) Check(ctx context.Context, heads manifest.Heads, progress Progress) (*Plan, error) {
	c := &check{
		source: s, progress: progress,
		checker: &manifest.Checker{Kind: s.Kind, Name: s.Name, Folder: s.folder, Heads: heads},
		plan:    &Plan{Problems: map[string]int{}, Messages: map[string]string{}, lines: map[idHash]int32{}},
		rejects: newRejects(s.RejectsPath()),
	}
	defer c.rejects.discard()
	progress.Begin("checking", s.Size, "bytes")
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if err := c.rejects.finish(c.plan.Columns); err != nil {
		return nil, err
	}
	return c.plan, nil
}

// idHash stands for a verification_id: a million of them take 40 MB, whatever their length.
type idHash [16]byte

func hashID(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:])
}

type check struct {
	source   *Source
	checker  *manifest.Checker
	plan     *Plan
	progress Progress
	rejects  *rejects

	rows     [checkRows]manifest.Row
	verdicts [checkRows]verdict
}

type verdict struct {
	accepted manifest.Accepted
	problem  *manifest.Problem
}

func (c *check) run(ctx context.Context) error {
	sum := sha256.New()
	if _, err := c.source.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	src := io.TeeReader(&interruptible{ctx, c.source.file}, io.MultiWriter(sum, counter{c.progress}))
	reader, err := manifest.NewReader(src, c.source.Kind, c.source.Mapping)
	if err != nil {
		return err
	}
	for {
		n, err := c.fill(reader)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.judge(ctx, n); err != nil {
			return err
		}
		for i := range n {
			if err := c.enter(&c.rows[i], &c.verdicts[i]); err != nil {
				return err
			}
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != c.source.Content {
		return errChanged
	}
	c.plan.Columns = reader.Columns().Names()
	c.plan.Hash, err = c.hash()
	if c.plan.Rows+c.plan.Rejected == 0 {
		return &manifest.FileError{Message: "the file has no rows"}
	}
	return err
}

var errChanged = errors.New("the manifest has changed while it was read: run the same command again")

func (c *check) fill(reader *manifest.Reader) (int, error) {
	for n := range checkRows {
		err := reader.Next(&c.rows[n])
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return checkRows, nil
}

// judge checks rows side by side.
func (c *check) judge(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	for lane := range checkParallel {
		group.Go(func() error {
			for i := lane; i < n; i += checkParallel {
				var err error
				v := &c.verdicts[i]
				if v.accepted, v.problem, err = c.checker.Check(ctx, &c.rows[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// enter books one row. Of rows with the same id the first is accepted.
func (c *check) enter(row *manifest.Row, v *verdict) error {
	if v.problem == nil {
		key := hashID(v.accepted.ID)
		if line, there := c.plan.lines[key]; there {
			v.problem = &manifest.Problem{
				Code: codeDuplicate, Message: fmt.Sprintf("the same verification_id stands in line %d", line),
			}
		} else {
			c.plan.lines[key] = int32(row.Line) //nolint:gosec // MaxRows lines and their breaks fit
		}
	}
	if v.problem == nil {
		c.plan.Rows++
		c.plan.Uploads = c.plan.Uploads || v.accepted.Path != ""
		return nil
	}
	c.plan.Rejected++
	c.plan.rejected.set(row.Number)
	c.plan.Problems[v.problem.Code]++
	if c.plan.Messages[v.problem.Code] == "" {
		c.plan.Messages[v.problem.Code] = v.problem.Message
	}
	return c.rejects.add(row, v.problem)
}

// hash is short: it only has to tell the few submits of one file apart. batch.json holds the file's whole hash.
func (c *check) hash() (string, error) {
	text, err := json.Marshal(map[string]any{
		"content": c.source.Content, "kind": c.source.Kind, "map": c.source.Mapping, "rejected": c.plan.rejected, "format": 1,
	})
	if err != nil {
		return "", fmt.Errorf("hash the plan: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// Codes lists the codes of the problems, the most frequent first.
func (p *Plan) Codes() []string {
	codes := make([]string, 0, len(p.Problems))
	for code := range p.Problems {
		codes = append(codes, code)
	}
	slices.SortFunc(codes, func(a, b string) int {
		if n := p.Problems[b] - p.Problems[a]; n != 0 {
			return n
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	return codes
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }
