// Package deploy_test checks the compose file, the Dockerfile and the systemd units, as far as possible without an engine.
package deploy_test

import (
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/redact"
)

const root = ".."

// load reads the compose file as an engine does.
func load(t *testing.T, profiles []string, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env), cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func everything(t *testing.T) *types.Project {
	t.Helper()
	return load(t, []string{"sim", "api", "cli"})
}

func TestUpStartsTheStackAndSimTheSimulatorToo(t *testing.T) {
	t.Parallel()
	always := []string{"dashboard", "keys", "minio", "redis", "storage-init", "storage-users", "worker"}
	if got := load(t, nil).ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), always) {
		t.Errorf("up starts %v", got)
	}
	sim := slices.Sorted(slices.Values(append([]string{"simulator", "example-passports", "example-cards"}, always...)))
	if got := load(t, []string{"sim"}).ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), sim) {
		t.Errorf("--profile sim starts %v", got)
	}
	if workers := everything(t).Services["worker"]; workers.GetScale() != 2 {
		t.Errorf("%d workers", workers.GetScale())
	}
}

func TestServicesStartInTheOrderInWhichTheyNeedEachOther(t *testing.T) {
	t.Parallel()
	const healthy, done = types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	ready := map[string]string{"redis": healthy, "keys": done, "storage-users": done}
	withSim := map[string]string{"redis": healthy, "keys": done, "storage-users": done, "simulator": healthy}
	want := map[string]map[string]string{
		"redis": {}, "minio": {}, "keys": {},
		"storage-init":  {"keys": done, "minio": types.ServiceConditionStarted},
		"storage-users": {"storage-init": done},
		"worker":        ready, "serve": ready, "cli": {"redis": healthy},
		"dashboard": {"keys": done, "redis": healthy},
		"simulator": {"keys": done}, "example-passports": withSim, "example-cards": withSim,
	}
	for name, service := range everything(t).Services {
		got := map[string]string{}
		for on, dependency := range service.DependsOn {
			got[on] = dependency.Condition
		}
		if !maps.Equal(got, want[name]) {
			t.Errorf("%s needs %v, want %v", name, got, want[name])
		}
	}
}

// What a command of cli starts must not build: the log would be in the command's answer.
func TestCommandsDoNotBuild(t *testing.T) {
	t.Parallel()
	services := everything(t).Services
	var visit func(name string)
	visit = func(name string) {
		if services[name].Build != nil || services[name].PullPolicy == "build" {
			t.Errorf("cli starts %s, which builds", name)
		}
		for on := range services[name].DependsOn {
			visit(on)
		}
	}
	visit("cli")
}

// oneShots exit when they are done and have no health check.
var oneShots = []string{"keys", "storage-init", "storage-users", "example-passports", "example-cards", "cli"}

func TestWhatKeepsRunningHasAHealthCheckAndTimeToStop(t *testing.T) {
	t.Parallel()
	for name, s := range everything(t).Services {
		if slices.Contains(oneShots, name) {
			if s.Restart != "no" || s.HealthCheck != nil {
				t.Errorf("%s: restart %q, health check %v", name, s.Restart, s.HealthCheck)
			}
			continue
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q, health check %v", name, s.Restart, s.HealthCheck)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) != time.Minute {
			t.Errorf("%s: stop_grace_period %v", name, s.StopGracePeriod)
		}
	}
}

func TestEveryServiceIsHardened(t *testing.T) {
	t.Parallel()
	for name, s := range everything(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
			t.Errorf("%s: read_only %t, cap_drop %v, cap_add %v", name, s.ReadOnly, s.CapDrop, s.CapAdd)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: security_opt %v", name, s.SecurityOpt)
		}
		if s.MemLimit == 0 || s.PidsLimit == 0 {
			t.Errorf("%s: no limit of memory or processes", name)
		}
		if s.NetworkMode == "host" || s.Pid == "host" || s.Ipc == "host" {
			t.Errorf("%s shares a namespace with the host", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeVolume {
				t.Errorf("%s mounts %s %s of the host", name, v.Type, v.Source)
			}
		}
	}
}

// Nothing with the root credentials of the store, or a way out of the machine, runs longer than needed.
func TestServicesHaveUsersAndNetworksOfTheirRole(t *testing.T) {
	t.Parallel()
	project := everything(t)
	if !project.Networks["data"].Internal || project.Networks["out"].Internal {
		t.Error("the network of the data is not internal, or the other one is")
	}
	for name, s := range project.Services {
		_, data := s.Networks["data"]
		_, out := s.Networks["out"]
		switch name {
		case "redis", "minio", "storage-init", "storage-users", "example-passports", "example-cards":
			if !data || out {
				t.Errorf("%s: networks %v", name, s.Networks)
			}
		case "keys":
			if s.NetworkMode != "none" {
				t.Errorf("%s: networks %v", name, s.Networks)
			}
		case "simulator":
			if data {
				t.Errorf("%s is in the network of the data", name)
			}
		}
		role := map[string]string{"worker": "worker", "serve": "serve", "dashboard": "dashboard", "cli": "operator", "example-passports": "producer", "example-cards": "producer"}[name]
		for _, secret := range s.Secrets {
			of, isURL := strings.CutPrefix(secret.Source, "redis_url_")
			if user, isUser := strings.CutPrefix(secret.Source, "s3_"); isUser && !isURL {
				of = user
			} else if !isURL {
				continue
			}
			root := of == "credentials" || of == "access_key" || of == "secret_key"
			if root != (name == "storage-init" || name == "minio" || name == "storage-users" && of == "credentials") || !root && name != "storage-users" && of != role {
				t.Errorf("%s has %s", name, secret.Source)
			}
		}
	}
}

func TestEveryVariableOfKycqsExists(t *testing.T) {
	t.Parallel()
	for name, s := range everything(t).Services {
		for variable := range s.Environment {
			if strings.HasPrefix(variable, "KYCQ_") && !config.KnownVariable(variable) {
				t.Errorf("%s sets %s, which is not a setting of kycq", name, variable)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#?(KYCQ_[A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != "KYCQ_MINIO_IMAGE" && !config.KnownVariable(m[1]) {
			t.Errorf(".env.example has %s, which is not a setting of kycq", m[1])
		}
	}
}

// .env.example explains every variable of the compose file, and no other.
func TestEnvExampleListsWhatCanBeSet(t *testing.T) {
	t.Parallel()
	names := func(file, form string) []string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return slices.Sorted(maps.Keys(found))
	}
	used, explained := names("docker-compose.yml", `\$\{([A-Z_]+)`), names(".env.example", `(?m)^#([A-Z_]+)=`)
	used = slices.DeleteFunc(used, func(name string) bool { return name == "USER" }) // of the shell
	if !slices.Equal(used, explained) {
		t.Errorf("the compose file reads %v\n.env.example explains %v", used, explained)
	}
}

func TestSecretsAreFilesAndNothingElse(t *testing.T) {
	t.Parallel()
	project := everything(t)
	for name, secret := range project.Secrets {
		if info, err := os.Stat(secret.File); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range project.Services {
		for variable, value := range s.Environment {
			secret := strings.Contains(variable, "SECRET") || strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "KEYSET") ||
				strings.Contains(variable, "TOKEN") || strings.Contains(variable, "USERS")
			if secret && !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s: %s holds a secret", name, variable)
			}
			if value == nil || !strings.HasPrefix(*value, "/run/secrets/") {
				continue
			}
			if file := strings.TrimPrefix(*value, "/run/secrets/"); !slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == file }) {
				t.Errorf("%s: %s names %s, which it is not given", name, variable, file)
			}
		}
	}
	for name, secret := range load(t, nil, "SECRETS_DIR=/elsewhere").Secrets {
		if !strings.HasPrefix(secret.File, "/elsewhere/") {
			t.Errorf("%s comes from %s although SECRETS_DIR says otherwise", name, secret.File)
		}
	}
}

func TestTheSecretsOfTheTrialFitEachOther(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("compose", "secrets", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	credentials := "[default]\naws_access_key_id = " + read("s3_access_key") + "\naws_secret_access_key = " + read("s3_secret_key")
	if read("s3_credentials") != credentials {
		t.Error("s3_credentials is not the pair of s3_access_key and s3_secret_key")
	}
	if _, err := dashboard.NewLogin(redact.NewSecret(read("dashboard_users")), redact.Secret{}); err != nil {
		t.Error(err)
	}
}

func TestTheStoresImageIsPinnedAndCanBeReplaced(t *testing.T) {
	t.Parallel()
	_, digest, _ := strings.Cut(load(t, nil).Services["minio"].Image, "@sha256:")
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 32 {
		t.Errorf("the image is not pinned: %q", digest)
	}
	if got := load(t, nil, "KYCQ_MINIO_IMAGE=minio:mine").Services["minio"].Image; got != "minio:mine" {
		t.Errorf("KYCQ_MINIO_IMAGE is not used: %s", got)
	}
}

// Cashfree is called only if .env sets its URL, and the simulator's image hosts are allowed only by default.
func TestNothingLeavesTheMachineByDefault(t *testing.T) {
	t.Parallel()
	worker := load(t, []string{"sim"}).Services["worker"].Environment
	simulator := load(t, []string{"sim"}).Services["simulator"].Environment
	if got := *worker["KYCQ_CASHFREE_URL"]; got != "http://simulator:8090/verification" || *simulator["KYCQ_LISTEN"] != "0.0.0.0:8090" {
		t.Errorf("workers call %s", got)
	}
	for _, name := range []string{"KYCQ_CASHFREE_CLIENT_ID", "KYCQ_CASHFREE_CLIENT_SECRET_FILE"} {
		if *worker[name] != *simulator[name] {
			t.Errorf("%s differs between workers and simulator", name)
		}
	}
	real := load(t, nil, "KYCQ_CASHFREE_URL=https://api.cashfree.com/verification", "KYCQ_IMAGE_HOSTS=").Services["worker"].Environment
	if *real["KYCQ_CASHFREE_URL"] != "https://api.cashfree.com/verification" || *real["KYCQ_IMAGE_HOSTS"] != "" {
		t.Errorf("%s, %q", *real["KYCQ_CASHFREE_URL"], *real["KYCQ_IMAGE_HOSTS"])
	}
}

func TestTheLogsOfEveryServiceAreRotated(t *testing.T) {
	t.Parallel()
	for name, s := range everything(t).Services {
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s fills the disk with its log: %+v", name, s.Logging)
		}
	}
}

func TestRedisIsAsKycqWantsIt(t *testing.T) {
	t.Parallel()
	command := strings.Join(everything(t).Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction"} {
		if !strings.Contains(command, want) {
			t.Errorf("%s lacks %s", command, want)
		}
	}
}
