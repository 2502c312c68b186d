package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dev/miniousers"
)

func newMinioUsers(a *app) *cobra.Command {
	var root string
	cmd := cli.Uses(&cobra.Command{
		Use:   "minio-users ROLE=FILE...",
		Short: "make MinIO users with the policies of roles",
		Long: `minio-users makes a user in MinIO for each role (worker, producer, operator, dashboard, serve) with the policy of
kycq storage policy, or changes it. FILE is an AWS credentials file with its access key id and secret. It can be repeated.`,
		Example: `  kycq-dev minio-users --root s3_credentials worker=s3_worker operator=s3_operator`,
		Args:    cobra.MinimumNArgs(1),
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			user, secret, err := readCredentials(root)
			if err != nil {
				return err
			}
			admin, err := miniousers.New(cfg.S3Endpoint, user, secret)
			if err != nil {
				return cli.UsageError(err)
			}
			names := map[string]string{access.Inbox: cfg.S3InboxBucket, access.Masked: cfg.S3MaskedBucket, access.Records: cfg.S3RecordsBucket}
			for _, arg := range args {
				role, file, _ := strings.Cut(arg, "=")
				if !slices.Contains(access.Roles(), access.Role(role)) {
					return cli.Usagef("%s: want ROLE=FILE", arg)
				}
				user, secret, err := readCredentials(file)
				if err != nil {
					return err
				}
				if err := admin.Put(cmd.Context(), user, secret, access.Policy(access.S3(access.Role(role)), names)); err != nil {
					return err
				}
				a.Note("%s is a %s", user, role)
			}
			return nil
		}),
	}, config.S3)
	cmd.Flags().StringVar(&root, "root", "", "AWS credentials file of MinIO's root user")
	return cmd
}

var credentialsForm = regexp.MustCompile(`(?s)aws_access_key_id *= *(\S+).*aws_secret_access_key *= *(\S+)`)

func readCredentials(file string) (id, secret string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", "", cli.UsageError(err)
	}
	found := credentialsForm.FindStringSubmatch(string(text))
	if found == nil {
		return "", "", cli.UsageError(fmt.Errorf("%s: want aws_access_key_id and aws_secret_access_key", file))
	}
	return found[1], found[2], nil
}
