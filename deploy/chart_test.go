package deploy_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/testenv"
)

const chart = "helm/kycq"

type envVar struct{ Name, Value string }

// A manifest is the part of a Kubernetes object that the tests look at.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		MaxUnavailable any `yaml:"maxUnavailable"`
		Template       struct {
			Spec struct {
				Automount       *bool          `yaml:"automountServiceAccountToken"`
				Grace           int            `yaml:"terminationGracePeriodSeconds"`
				SecurityContext map[string]any `yaml:"securityContext"`
				Volumes         []struct {
					Secret struct {
						SecretName string `yaml:"secretName"`
					}
					Projected struct {
						Sources []struct {
							Secret struct{ Items []struct{ Path string } }
						}
					}
				}
				Containers []struct {
					Name, Image     string
					Args            []string
					Env             []envVar
					LivenessProbe   map[string]any `yaml:"livenessProbe"`
					ReadinessProbe  map[string]any `yaml:"readinessProbe"`
					SecurityContext map[string]any `yaml:"securityContext"`
				}
			}
		}
	}
}

// render is helm template with further values.
func render(t *testing.T, values ...string) (found []manifest, output string, err error) {
	t.Helper()
	args := []string{"template", "test", chart, "--kube-version", "1.30.0"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	cmd := exec.CommandContext(t.Context(), testenv.Tool(t, "helm"), args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, stderr.String(), err
	}
	for documents := yaml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
		var m manifest
		if documents.Decode(&m) != nil {
			return found, out.String(), nil
		}
		found = append(found, m)
	}
}

func TestTheChartIsWellFormed(t *testing.T) {
	t.Parallel()
	helm := testenv.Tool(t, "helm")
	if out, err := exec.CommandContext(t.Context(), helm, "lint", "--strict", chart).CombinedOutput(); err != nil {
		t.Errorf("helm lint: %v\n%s", err, out)
	}
	for _, bad := range []string{
		"worker.replica=3", "settings.KYCQ_KEYSET=x", "settings.KYCQ_LISTEN=x", "secrets.keyset.name=", "image.digest=latest", "serve.webhooksSecret.name=x", "worker.terminationGracePeriodSeconds=10",
	} {
		if _, out, err := render(t, bad); err == nil || !strings.Contains(out, "values don't meet the specifications of the schema") {
			t.Errorf("%s: %v %s", bad, err, out)
		}
	}
}

func TestTheChartRunsWhatExistsWithFewRights(t *testing.T) {
	t.Parallel()
	found, output, err := render(t, "dashboard.enabled=true", "serve.enabled=true", "serve.webhooksSecret=hooks", "settings.KYCQ_S3_ENDPOINT=http://s3:9000")
	if err != nil {
		t.Fatal(err, output)
	}
	kinds := map[string]int{}
	for _, m := range found {
		kinds[m.Kind]++
		if m.Kind != "Deployment" {
			continue
		}
		pod := m.Spec.Template.Spec
		c := pod.Containers[0]
		if pod.Automount == nil || *pod.Automount || pod.Grace < 60 || pod.SecurityContext["runAsNonRoot"] != true ||
			c.SecurityContext["readOnlyRootFilesystem"] != true || c.SecurityContext["allowPrivilegeEscalation"] != false {
			t.Errorf("%s: %+v", m.Metadata.Name, pod)
		}
		probe := map[bool]string{true: "httpGet", false: "exec"}[c.Name == "worker"]
		if c.LivenessProbe[probe] == nil || c.ReadinessProbe[probe] == nil || c.Args[0] != c.Name {
			t.Errorf("%s: %+v", m.Metadata.Name, c)
		}
		var files []string
		hooks := 0
		for _, v := range pod.Volumes {
			if v.Secret.SecretName == "hooks" {
				hooks++
			}
			for _, s := range v.Projected.Sources {
				files = append(files, s.Secret.Items[0].Path)
			}
		}
		if slices.Contains(c.Env, envVar{"KYCQ_WEBHOOKS_FILE", "/webhooks/webhooks.yaml"}) != (hooks == 1) || (hooks == 1) != (c.Name == "serve") {
			t.Errorf("%s: webhooks in %d volumes, environment %v", m.Metadata.Name, hooks, c.Env)
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "KYCQ_") && !config.KnownVariable(e.Name) {
				t.Errorf("%s: kycq does not know %s", m.Metadata.Name, e.Name)
			}
			if file, ok := strings.CutPrefix(e.Value, "/secrets/"); ok && !slices.Contains(files, file) {
				t.Errorf("%s: nothing mounts %s", m.Metadata.Name, e.Value)
			}
		}
	}
	for kind, n := range map[string]int{"Deployment": 3, "Service": 2, "PodDisruptionBudget": 2, "NetworkPolicy": 3, "ServiceAccount": 1, "Secret": 0} {
		if kinds[kind] != n {
			t.Errorf("%d of %s, want %d", kinds[kind], kind, n)
		}
	}
	if found, _, err := render(t); err != nil || slices.ContainsFunc(found, func(m manifest) bool { return strings.HasSuffix(m.Metadata.Name, "serve") }) {
		t.Errorf("the API is not enabled by default: %v", err)
	}
}
