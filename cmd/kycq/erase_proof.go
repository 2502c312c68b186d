package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// proof says what an erasure has removed from where, and what it cannot remove. It holds no personal data.
type proof struct {
	Version        int              `json:"version"`
	Kind           tasks.Kind       `json:"kind"`
	VerificationID string           `json:"verification_id"`
	Erased         *storage.Erasure `json:"erased"`
	WrittenAt      time.Time        `json:"written_at"`
	// Audit names the event of the audit trail that preceded this erasure.
	Audit struct {
		Writer string `json:"writer"`
		Seq    int64  `json:"seq"`
		MAC    string `json:"mac,omitempty"`
	} `json:"audit"`
	// Removed is what no longer exists, Kept what kycq keeps, Remains versions that the store keeps, NotReached what kycq
	// cannot remove.
	Removed    []string `json:"removed"`
	Kept       []string `json:"kept"`
	Remains    []string `json:"remains"`
	NotReached []string `json:"not_reached"`
}

func proofOf(cfg storage.Config, rec *storage.Record, entry audit.Event, parts []string, remains *storage.RemainsError) proof {
	id, record := rec.VerificationID, fmt.Sprintf("s3://%s/records/%s/%s.json", cfg.RecordsBucket, rec.Kind, rec.VerificationID)
	but := ""
	if remains.Result() != nil {
		but = ", but those that remain"
	}
	p := proof{
		Version: 1, Kind: rec.Kind, VerificationID: id, Erased: rec.Erased, WrittenAt: time.Now().UTC().Truncate(time.Second),
		Removed: []string{
			record + ": input, answers, masked values, fingerprint, and all older versions" + but,
			"Redis: the tasks of all runs, and an answer that waited for S3",
		},
		Kept: []string{
			record + ": a tombstone with id, outcome, codes, attempts and times",
			fmt.Sprintf("s3://%s/audit/: the events about this id", cfg.RecordsBucket),
			fmt.Sprintf("s3://%s/batches/: report.csv of ended batches with the id, outcome, reference and comparisons, without the input", cfg.RecordsBucket),
		},
		Remains: []string{},
		NotReached: []string{
			"backups, replicas and snapshots of the buckets and of Redis",
			"Cashfree: what it keeps of the calls that the tombstone lists",
			"files that people have written: manifests, reports, rejected rows, images",
			"your own objects in S3 that the job was submitted with",
			"logs of S3, of Redis and of proxies, which may have the id",
		},
	}
	p.Audit.Writer, p.Audit.Seq, p.Audit.MAC = entry.Writer, entry.Seq, entry.MAC
	if rec.Kind == tasks.Aadhaar {
		p.Removed = append(p.Removed,
			fmt.Sprintf("s3://%s/masked/%s/: the masked images of %s, with all versions%s", cfg.MaskedBucket, id, count(rec.Run, "run"), but),
			fmt.Sprintf("s3://%s/quarantine/%s: the image in quarantine, with all versions%s", cfg.InboxBucket, id, but),
			fmt.Sprintf("s3://%s/: the upload of this job, with all versions%s", cfg.InboxBucket, but))
	}
	for _, key := range parts {
		p.Removed = append(p.Removed, fmt.Sprintf("s3://%s/%s: the row of this id, and all older versions of the part%s", cfg.RecordsBucket, key, but))
	}
	for _, r := range remains.Remnants {
		p.Remains = append(p.Remains, r.String())
	}
	if remains.Err != nil {
		p.Remains = append(p.Remains, "old versions could not all be listed or deleted: "+remains.Err.Error())
	}
	return p
}

func (a *app) writeProof(path string, p proof) error {
	body, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	_, err = a.writeTo(path, func(w io.Writer) (int, error) { return w.Write(append(body, '\n')) })
	return err
}
