package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// imageFlags say where images go: into a file or folder, or behind a link.
type imageFlags struct {
	out     string
	presign time.Duration
}

func (f *imageFlags) register(cmd *cobra.Command, out string) {
	cmd.Flags().StringVar(&f.out, "out", "", out)
	cmd.Flags().DurationVar(&f.presign, "presign", 0, "print a link instead, with which anyone can read the image for this time (at most 168h)")
}

func (f *imageFlags) check() error {
	switch {
	case f.presign == 0 && f.out == "":
		return cli.Usagef("--out: say where to write, or print links with --presign 15m")
	case f.presign < 0, f.presign > objects.MaxPresign, f.presign > 0 && f.presign < time.Second:
		return cli.Usagef("--presign: want 1s to 168h")
	}
	return nil
}

// detail is what the audit trail says.
func (f *imageFlags) detail() map[string]string {
	if f.presign > 0 {
		return map[string]string{"presign": f.presign.String()}
	}
	return nil
}

// imageLink is a link to a masked image.
type imageLink struct {
	ID      string    `json:"verification_id"`
	URL     string    `json:"url"`
	Expires time.Time `json:"expires_at"`
}

func (f *imageFlags) link(ctx context.Context, store *storage.Store, id string, img *storage.MaskedImage) (imageLink, error) {
	expires := time.Now().UTC().Add(f.presign).Truncate(time.Second)
	url, err := store.MaskedLink(ctx, img.Key, f.presign)
	return imageLink{ID: id, URL: url, Expires: expires}, err
}

func newJobImage(a *app) *cobra.Command {
	var name jobName
	var f imageFlags
	cmd := a.command(&cobra.Command{
		Use:   "image ID",
		Short: "write a job's masked image to a file, or print a link to it",
		Long: `image writes the masked image of an Aadhaar job to a file (mode 0600), after comparing it with the hash in the record. With
--presign it prints a link to the image in S3, at the address of KYCQ_S3_ENDPOINT: anyone with the link can read the image until
it expires. Each use is entered into the audit trail.`,
		Example: "  kycq job image ABC00123 --out ABC00123.jpg\n  kycq job image ABC00123 --presign 15m",
	}, auditAreas, func(ctx context.Context, d *deps, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return a.jobImage(ctx, d, name, f)
	})
	name.register(cmd)
	f.register(cmd, "the file to write")
	return cmd
}

func (a *app) jobImage(ctx context.Context, d *deps, name jobName, f imageFlags) error {
	if len(name.kinds) > 1 {
		name.kinds = []tasks.Kind{tasks.Aadhaar} // passports have no images
	}
	rec, err := name.find(ctx, d.store)
	if err != nil {
		return err
	}
	id, img := rec.VerificationID, rec.Best().MaskedImage
	if img == nil {
		return cli.NotFound(fmt.Errorf("%s has no masked image: its state is %s", id, rec.State), fmt.Sprintf("see `kycq job show %s`", id))
	}
	act := audit.Act{Action: "job.image", Kind: string(rec.Kind), VerificationID: id, Detail: f.detail()}
	if err := d.appendAudit(ctx, act); err != nil {
		return err
	}
	if f.presign > 0 {
		link, err := f.link(ctx, d.store, id, img)
		if err != nil {
			return err
		}
		return a.Answer(link, func() string { return link.URL + "\n" })
	}
	body, err := readMasked(ctx, d.store, img)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if _, err := a.writeTo(f.out, func(w io.Writer) (int, error) { return w.Write(body) }); err != nil {
		return err
	}
	return a.Answer(map[string]any{"verification_id": id, "file": f.out, "bytes": len(body), "content_type": img.ContentType},
		func() string { return fmt.Sprintf("%s: %s, %d bytes\n", f.out, img.ContentType, len(body)) })
}

var errOtherImage = errors.New("the stored image is not the one that the record describes (sha256): look into the bucket's history")

// readMasked reads a masked image and compares it with its record.
func readMasked(ctx context.Context, store *storage.Store, img *storage.MaskedImage) ([]byte, error) {
	body, err := store.Masked(ctx, img.Key)
	if err != nil {
		return nil, err
	}
	if hashOf(body) != img.SHA256 {
		return nil, errOtherImage
	}
	return body, nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
