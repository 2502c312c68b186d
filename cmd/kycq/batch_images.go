package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func newBatchImages(a *app) *cobra.Command {
	var f imageFlags
	var shown string
	cmd := &cobra.Command{
		Use:   "images BATCH",
		Short: "write the masked images of a batch to a folder, or print links to them",
		Long: `images writes the masked images of a batch's rows to a folder, each under its verification_id (mode 0600), after comparing it
with the hash in its record. An id that begins with a dot or hyphen gets the prefix "id=". Images that are there already are
not read again: after an interrupt, run the same command.

With --presign it prints a link for each image as CSV, or as JSONL with --json: anyone with a link can read the image until it
expires. --out is then the file for the list. The exit code is 3 if images are missing in S3.`,
		Example: "  kycq batch images cards-1f00c3aa --out images\n  kycq batch images cards-1f00c3aa --presign 24h --out links.csv",
		Args:    oneBatch,
	}
	a.batchCommand(tolerant(cmd), func(ctx context.Context, d *batchDeps, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		x := &imageExport{app: a, deps: d, flags: f, shown: a.newProgress(shown)}
		return a.interrupted(ctx, x.run(ctx, args[0]), commandLine(cmd, args))
	})
	f.register(cmd, "the folder to write to, which is created; with --presign a file")
	addProgressFlag(cmd, &shown)
	return cmd
}

// imageExport writes the images of a batch.
type imageExport struct {
	app   *app
	deps  *batchDeps
	flags imageFlags
	shown *progress

	mu     sync.Mutex
	counts struct {
		Batch   string `json:"batch"`
		Written int    `json:"written"`
		Present int    `json:"present"` // in the folder already
		Without int    `json:"without_image"`
		Missing int    `json:"missing"` // in the record, but not as described in S3
	}
}

func (x *imageExport) run(ctx context.Context, id string) error {
	b, err := x.deps.control.Batches.Load(ctx, id)
	if err != nil {
		return err
	}
	if b.Kind != tasks.Aadhaar {
		return cli.Usagef("%s is a batch of kind %s: only aadhaar jobs have images", id, b.Kind)
	}
	if err := auditBatch(ctx, x.deps, "batch.images", b, x.flags.detail()); err != nil {
		return err
	}
	x.counts.Batch = id
	defer x.shown.Clear()
	x.shown.Begin("images", int64(b.Rows), "rows")
	if x.flags.presign > 0 {
		_, err := x.app.writeTo(x.flags.out, func(w io.Writer) (int, error) { return 0, x.writeLinks(ctx, b, w) })
		x.shown.Clear()
		if err == nil {
			x.app.Note("%s written", count(x.counts.Written, "link"))
		}
		return err
	}
	if err := os.MkdirAll(x.flags.out, 0o700); err != nil {
		return err
	}
	if err := x.writeFiles(ctx, b); err != nil {
		return err
	}
	x.shown.Clear()
	if err := x.app.Answer(x.counts, x.text); err != nil || x.counts.Missing == 0 {
		return err
	}
	return cli.Exit(cli.ExitSomeFailed)
}

func (x *imageExport) text() string {
	c := x.counts
	return fmt.Sprintf("%s: %s written, %d present before, %s without one, %d missing in S3\n", x.flags.out, count(c.Written, "image"), c.Present,
		count(c.Without, "row"), c.Missing)
}

// add counts a row in one of the counts.
func (x *imageExport) add(n *int) {
	x.mu.Lock()
	*n++
	x.mu.Unlock()
	x.shown.Add(1)
}

// walk visits the rows that have an image.
func (x *imageExport) walk(ctx context.Context, b *batch.Batch, visit func(id string, img *storage.MaskedImage) error) error {
	return b.Walk(ctx, x.deps.partsOf(b), x.deps.store, x.deps.client, func(row *batch.Row) error {
		if row.Own() {
			if img := row.Record.Best().MaskedImage; img != nil {
				return visit(row.Item.ID, img)
			}
		}
		x.add(&x.counts.Without)
		return nil
	})
}

func (x *imageExport) writeLinks(ctx context.Context, b *batch.Batch, w io.Writer) error {
	out := csv.NewWriter(w)
	if !x.app.JSON {
		_ = out.Write([]string{"verification_id", "url", "expires_at"}) // Error reports it
	}
	err := x.walk(ctx, b, func(id string, img *storage.MaskedImage) error {
		link, err := x.flags.link(ctx, x.deps.store, id, img)
		if err != nil {
			return err
		}
		x.add(&x.counts.Written)
		if x.app.JSON {
			return cli.WriteLine(w, link)
		}
		return out.Write([]string{id, link.URL, link.Expires.Format(time.RFC3339)})
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// imagesAtOnce hides the latency of S3.
const imagesAtOnce = 16

func (x *imageExport) writeFiles(ctx context.Context, b *batch.Batch) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(imagesAtOnce)
	err := x.walk(gctx, b, func(id string, img *storage.MaskedImage) error {
		group.Go(func() error { return x.writeFile(gctx, id, img) })
		return nil
	})
	if failed := group.Wait(); failed != nil {
		return failed // the walk fails by it
	}
	return err
}

func (x *imageExport) writeFile(ctx context.Context, id string, img *storage.MaskedImage) error {
	path := filepath.Join(x.flags.out, imageName(id, img))
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == img.Bytes {
		if body, err := os.ReadFile(path); err == nil && hashOf(body) == img.SHA256 {
			x.add(&x.counts.Present)
			return nil
		}
	}
	body, err := readMasked(ctx, x.deps.store, img)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, errOtherImage) {
		x.shown.Clear()
		x.app.Note("%s: %v", id, err)
		x.add(&x.counts.Missing)
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := x.app.writeTo(path, func(w io.Writer) (int, error) { return w.Write(body) }); err != nil {
		return err
	}
	x.add(&x.counts.Written)
	return nil
}

// imageName is the name of the file. Ids have no characters that are special in paths, but a name that begins with a dot is
// hidden, and one that begins with a hyphen looks like a flag. Ids have no equals sign, so names with the prefix are unique.
func imageName(id string, img *storage.MaskedImage) string {
	if id[0] == '.' || id[0] == '-' {
		id = "id=" + id
	}
	if img.ContentType == "image/png" {
		return id + ".png"
	}
	return id + ".jpg"
}
