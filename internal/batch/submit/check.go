package submit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// Plan is the result of checking a manifest: the rows that would be accepted, and why the others are rejected.
type Plan struct {
	// Hash depends on everything that decides which rows are accepted. It is part of the keys of the parts.
	Hash string
	// Rows counts the accepted rows. Rows, Rejected and Blank are all rows of the file.
	Rows, Rejected, Blank int
	// Problems counts the rejected rows by code, Messages has the text of each code.
	Problems map[string]int
	Messages map[string]string
	Columns  []string
	// Derived counts the accepted rows without a verification_id.
	Derived int
	// SameInput counts the accepted rows whose input another row before has, under another verification_id.
	SameInput int
	// SameLines are the lines of the first such pair.
	SameLines [2]int
	// Uploads is true if there are images to upload.
	Uploads bool

	rejected bits             // by the row's number in the file
	lines    map[idHash]int32 // lines of the accepted rows, by verification_id
}

const (
	// checkRows is how many rows are checked at a time, checkParallel by how many goroutines: reading images waits for the
	// disk.
	checkRows     = 500
	checkParallel = 8
	codeDuplicate = "duplicate_in_file"
)

// Refused reports whether a plan must not be submitted, because rows are rejected or because inputs would be paid for twice.
func (p *Plan) Refused(allowRejects, allowSame bool) (rejected, same bool) {
	return p.Rejected > 0 && (!allowRejects || p.Rows == 0), p.SameInput > 0 && !allowSame
}

// Check checks all rows, and writes the rejected ones to RejectsPath. The error is a *manifest.FileError if the file cannot
// be read to its end.
func (s *Source) Check(ctx context.Context, heads manifest.Heads, progress Progress) (*Plan, error) {
	progress.Begin("reading the columns", s.Size, "bytes")
	columns, err := s.columns(ctx, counter{progress})
	if err != nil {
		return nil, err
	}
	c := &check{
		source:  s,
		checker: s.checker(heads),
		plan:    &Plan{Columns: columns, Problems: map[string]int{}, Messages: map[string]string{}, lines: map[idHash]int32{}},
		rejects: newRejects(s, columns),
	}
	defer c.rejects.discard()
	progress.Begin("checking", s.Size, "bytes")
	if err := c.run(ctx, progress); err != nil {
		return nil, err
	}
	if err := c.rejects.finish(); err != nil {
		return nil, err
	}
	return c.plan, nil
}

// idHash is a hash of a verification_id: a million of them take 40 MB, however long the ids are.
type idHash [16]byte

func hashID(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:])
}

type check struct {
	source  *Source
	checker *manifest.Checker
	plan    *Plan
	rejects *rejects
	rows    []manifest.Row // read and not checked yet
	inputs  []input        // of the accepted rows
}

// input is a hash of an input and its line: 16 bytes, since there may be millions. Two of five million inputs have the same hash
// with a probability of one in a million.
type input struct {
	hash uint64
	line int
}

var inputSeed = maphash.MakeSeed()

type result struct {
	accepted manifest.Accepted
	input    uint64
	problem  *manifest.Problem
}

func (c *check) run(ctx context.Context, progress Progress) error {
	reader, err := c.source.readRows(ctx, counter{progress}, func(row manifest.Row) error {
		if c.rows = append(c.rows, row); len(c.rows) < checkRows {
			return nil
		}
		return c.checkRows(ctx)
	})
	if err == nil {
		c.plan.Blank = reader.Blank()
		err = c.checkRows(ctx)
	}
	if err != nil {
		return err
	}
	if c.plan.Rows+c.plan.Rejected == 0 {
		return &manifest.FileError{Message: "the file has no rows"}
	}
	c.countSame()
	c.plan.Hash, err = c.hash()
	return err
}

// checkRows checks the rows concurrently, and adds them to the plan in order.
func (c *check) checkRows(ctx context.Context) error {
	results := make([]result, len(c.rows))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checkParallel)
	for i := range c.rows {
		group.Go(func() (err error) {
			r := &results[i]
			if r.accepted, r.problem, err = c.checker.Check(ctx, &c.rows[i]); err != nil || r.problem != nil {
				return err
			}
			identity, err := c.checker.Identity(r.accepted)
			r.input = maphash.String(inputSeed, identity)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range c.rows {
		if err := c.add(&c.rows[i], &results[i]); err != nil {
			return err
		}
	}
	c.rows = c.rows[:0]
	return nil
}

// add adds a row to the plan. Of rows with the same verification_id, the first is accepted.
func (c *check) add(row *manifest.Row, r *result) error {
	if r.problem == nil {
		key := hashID(r.accepted.ID)
		if line, found := c.plan.lines[key]; found {
			r.problem = &manifest.Problem{Code: codeDuplicate, Message: fmt.Sprintf("line %d has the same verification_id", line)}
		} else {
			c.plan.lines[key] = int32(row.Line) //nolint:gosec // MaxRows lines and their breaks fit
		}
	}
	if r.problem == nil {
		c.plan.Rows++
		c.inputs = append(c.inputs, input{r.input, row.Line})
		if r.accepted.Derived {
			c.plan.Derived++
		}
		c.plan.Uploads = c.plan.Uploads || r.accepted.Path != ""
		return nil
	}
	code := r.problem.Code
	c.plan.Rejected++
	c.plan.rejected.set(row.Number)
	c.plan.Problems[code]++
	if c.plan.Messages[code] == "" {
		c.plan.Messages[code] = r.problem.Message
	}
	return c.rejects.add(row, r.problem)
}

// countSame counts the inputs that appear under several verification_ids; rows with the same one were rejected.
func (c *check) countSame() {
	slices.SortFunc(c.inputs, func(a, b input) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.line, b.line))
	})
	for i := 1; i < len(c.inputs); i++ {
		if first, second := c.inputs[i-1], c.inputs[i]; first.hash == second.hash {
			if c.plan.SameInput++; c.plan.SameInput == 1 || second.line < c.plan.SameLines[1] {
				c.plan.SameLines = [2]int{first.line, second.line}
			}
		}
	}
	c.inputs = nil
}

// hash is short, because it only distinguishes submissions of one file; batch.json has the whole hash of the file.
func (c *check) hash() (string, error) {
	text, err := json.Marshal(map[string]any{
		"content": c.source.Content, "kind": c.source.Kind, "map": c.source.Mapping, "rejected": c.plan.rejected,
		"dates": c.source.DateFormat, "ids": c.source.IDsFor, "format": 2,
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
		return strings.Compare(a, b)
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
