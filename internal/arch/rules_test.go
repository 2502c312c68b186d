package arch

// Paths in this file are folders ("storage/") or the beginnings of file names ("worker/server"), relative to the module.
// Import paths of this module begin with "./". An import path covers the packages below it too, unless it ends with "$".

// basics may be imported by every package.
var basics = []string{"./internal/advice", "./internal/forms", "./internal/loopback", "./internal/outfile", "./internal/printable", "./internal/rate", "./internal/redact", "./internal/retention", "./internal/sleep"}

// ownImports lists, for each folder, the packages of this module that its production code may import. Imports run one
// way: cmd, worker and internal/batch at the top, then tasks and storage, then leaves. The siblings storage,
// internal/cashfree, internal/gate, internal/maskcheck and internal/seal never import each other: a package
// that needs two of them declares an interface, and cmd connects them.
//
// A folder that is not listed, nor any folder above it, is a leaf: it may import only basics.
var ownImports = map[string][]string{
	// Both binaries, and what they share.
	"cmd/":           {"./"},
	"internal/cli/":  {"./internal/config", "./internal/logx", "./internal/redisx", "./storage", "./tasks"},
	"internal/wire/": {"./internal", "./storage", "./tasks", "./worker"},

	"examples/": {"./storage", "./tasks"},

	// tasks and storage are public.
	"tasks/":   {"./internal/asynqx", "./internal/redisx", "./internal/seal", "./internal/vendorid"},
	"storage/": {"./internal/installation", "./internal/objects", "./tasks"},
	"worker/": {
		"./internal/asynqx", "./internal/cashfree", "./internal/digits", "./internal/gate", "./internal/hold", "./internal/logx", "./internal/maskcheck",
		"./internal/redisx", "./internal/seal", "./internal/vendorid", "./storage", "./tasks",
	},

	"internal/asynqx/": {"./internal/logx"},
	"internal/api/": {
		"./internal/audit", "./internal/batch", "./internal/blocked", "./internal/gate", "./internal/hold", "./internal/pauses", "./internal/redisx", "./internal/seal", "./internal/single",
		"./storage", "./tasks", "./worker",
	},
	"internal/audit/":        {"./internal/objects"},
	"internal/batch/":        {"./internal/asynqx", "./internal/batch", "./internal/gate", "./internal/hold", "./internal/logx", "./internal/objects", "./internal/redisx", "./internal/seal", "./storage", "./tasks"},
	"internal/blocked/":      {"./internal/asynqx", "./internal/batch", "./internal/gate", "./internal/hold", "./internal/redisx", "./storage", "./tasks"},
	"internal/dashboard/":    {"./internal/seal", "./tasks"},
	"internal/doctor/":       {"./internal/access", "./internal/cashfree", "./internal/clocks", "./internal/digits", "./internal/hold", "./internal/installation", "./internal/objects", "./internal/redisx", "./internal/seal", "./storage", "./tasks"},
	"internal/gate/":         {"./internal/hold"},
	"internal/installation/": {"./internal/objects", "./internal/redisx"},
	"internal/janitor/":      {"./internal/asynqx"},
	"internal/maskcheck/":    {"./internal/qr"},
	"internal/metrics/":      {"./internal/asynqx", "./internal/cashfree", "./internal/gate", "./internal/hold", "./internal/maskcheck", "./internal/redisx", "./storage", "./tasks", "./worker"},
	"internal/pauses/":       {"./internal/hold", "./internal/objects", "./storage"},
	"internal/objects/":      {"./internal/access"},
	"internal/redisx/":       {"./internal/access", "./internal/asynqx"},
	"internal/single/":       {"./storage", "./tasks"},
	"internal/webhooks/":     {"./internal/batch", "./internal/redisx", "./storage", "./tasks"},

	// Test kits and development tools.
	"bench/":                  {"./internal/dev/specimen", "./internal/maskcheck", "./storage", "./tasks"},
	"internal/dev/":           {"./internal/access", "./internal/dev", "./internal/cashfree", "./internal/gate", "./internal/hold"},
	"internal/dev/simulator/": {"./internal/dev/simulator", "./internal/dev/specimen"},
	"internal/dev/specimen/":  {"./internal/dev/specimen", "./internal/qr"},
	"internal/faults/":        {"./"},
	"storage/storagetest/":    {"./internal/testenv", "./storage"},
}

// A rule restricts the import of packages to some folders.
type rule struct {
	imports []string // import paths
	only    []string // where they may be imported; empty: nowhere
	tests   bool     // also applies to test files
	because string
}

var rules = []rule{
	{
		imports: []string{
			"./internal/dev", "./internal/testenv", "./internal/faults", "./storage/storagetest",
			"github.com/alicebob/miniredis", "github.com/johannesboyne/gofakes3", "github.com/Shopify/toxiproxy",
			"go.uber.org/goleak", "testing",
		},
		only:    []string{"bench/", "cmd/kycq-dev/", "internal/dev/", "internal/faults/", "internal/testenv/", "storage/storagetest/"},
		because: "test kits and development tools are not part of production code",
	},
	{
		imports: []string{"github.com/google/go-cmp", "github.com/davecgh/go-spew", "github.com/kr/pretty"},
		because: "it prints secrets and personal data that redacting types hide",
	},
	{
		imports: []string{"github.com/hibiken/asynq"},
		only: []string{
			"tasks/", "worker/server", "worker/erase.go", "worker/queuepause.go", "internal/asynqx/", "internal/batch/",
			"internal/dashboard/", "internal/janitor/", "internal/metrics/", "internal/dev/", "internal/faults/", "cmd/", "bench/",
		},
		because: "other packages do not depend on the queue",
	},
	{
		imports: []string{"github.com/redis/go-redis"},
		only: []string{
			"tasks/client.go", "worker/server", "worker/erase.go", "worker/queuepause.go", "internal/asynqx/", "internal/batch/",
			"internal/api/", "internal/blocked/", "internal/cli/", "internal/dashboard/", "internal/gate/", "internal/hold/", "internal/installation/", "internal/janitor/",
			"internal/metrics/", "internal/pauses/", "internal/webhooks/",
			"internal/redisx/", "internal/wire/", "internal/dev/", "internal/faults/", "internal/testenv/", "cmd/", "examples/", "bench/",
		},
		because: "other packages use internal/redisx",
	},
	{imports: []string{"github.com/aws"}, only: []string{"internal/objects/", "storage/storagetest/", "bench/"}, tests: true, because: "only internal/objects accesses S3"},
	{imports: []string{"github.com/tink-crypto"}, only: []string{"internal/seal/"}, tests: true, because: "only internal/seal encrypts"},
	{
		imports: []string{"net/http"},
		only: []string{
			"internal/cashfree/", "internal/webhooks/",
			"internal/admin/", "internal/api/", "internal/cli/", "internal/dashboard/", "internal/metrics/", "internal/wire/", // servers
			"internal/objects/", "storage/storagetest/", // the client of the AWS SDK; a proxy for tests
			"worker/", // constants and headers
			"cmd/", "internal/dev/", "internal/faults/", "bench/",
		},
		because: "only internal/cashfree calls the vendor; forbidigo forbids HTTP clients elsewhere",
	},
	{
		imports: []string{"github.com/spf13", "github.com/knadh/koanf", "github.com/schollz/progressbar", "flag"},
		only:    []string{"cmd/", "internal/cli/", "internal/config/", "internal/dev/", "examples/", "bench/"},
		because: "only commands have flags, configuration files and progress bars",
	},
	{imports: []string{"math/rand$"}, because: "use math/rand/v2"},
	{imports: []string{"io/ioutil"}, because: "use io and os"},
	{imports: []string{"log$"}, only: []string{"examples/", "bench/", "internal/cli/"}, because: "loggers are passed as arguments (zerolog); http.Server takes a log.Logger"},
	{imports: []string{"github.com/pkg/errors"}, because: "use errors and fmt"},
	{imports: []string{"gopkg.in/yaml.v3"}, because: "use go.yaml.in/yaml/v3"},
}

// The test files of siblings use fakes of the other siblings, except of internal/seal, and of the packages above them.
var siblings = []string{"./storage", "./internal/cashfree", "./internal/gate", "./internal/maskcheck", "./internal/seal"}

var deniedToSiblingTests = []string{"./storage", "./internal/cashfree", "./internal/gate", "./internal/maskcheck", "./internal/batch", "./worker"}
