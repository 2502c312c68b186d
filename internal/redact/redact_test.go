package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v3"

	"github.com/kycq/kycq/internal/redact"
)

const canary = "Specimen-Q7x-Canary"

// exported and unexported hold the values in every way in which a struct can.
type exported struct {
	P     redact.Personal
	S     redact.Secret
	PtrP  *redact.Personal
	Any   any
	List  []redact.Secret
	Map   map[string]redact.Personal
	Inner struct{ S redact.Secret }
}

type unexported struct {
	p     redact.Personal
	s     redact.Secret
	ptrP  *redact.Personal
	any   any
	list  []redact.Secret
	array [1]redact.Personal
	m     map[string]redact.Personal
	keys  map[redact.Secret]int
	inner struct{ s redact.Secret }
	err   error
}

// carrier is an error with personal data in its fields, as a careless package would write it.
type carrier struct {
	Who redact.Personal
	why redact.Secret
}

func (c carrier) Error() string { return fmt.Sprintf("refused for %v: %v", c.Who, c.why) }

// specimens gives values that hold the canary, by the way they hold it.
func specimens() map[string]any {
	p, s := redact.NewPersonal(canary), redact.NewSecret(canary)
	out := exported{P: p, S: s, PtrP: &p, Any: s, List: []redact.Secret{s}, Map: map[string]redact.Personal{"k": p}}
	out.Inner.S = s
	in := unexported{
		p: p, s: s, ptrP: &p, any: p, list: []redact.Secret{s}, array: [1]redact.Personal{p},
		m: map[string]redact.Personal{"k": p}, keys: map[redact.Secret]int{s: 1}, err: carrier{p, s},
	}
	in.inner.s = s
	pp := &p
	return map[string]any{
		"personal": p, "secret": s, "pointers": []any{&p, &s, &pp},
		"exported": out, "exported pointer": &out, "unexported": in, "unexported pointer": &in,
		"slice": []redact.Personal{p}, "array": [2]redact.Secret{s, s}, "map": map[string]any{"a": s, "b": &out, "c": in},
		"map key": map[redact.Personal]redact.Secret{p: s}, "deep": []any{map[string][]exported{"x": {out}}, &in},
		"error": carrier{p, s}, "wrapped error": fmt.Errorf("call: %w", carrier{p, s}),
		"joined errors": errors.Join(carrier{p, s}, fmt.Errorf("%v and %s: %w", p, s, &out2{s})),
	}
}

type out2 struct{ Link redact.Secret }

func (o *out2) Error() string { return "fetch " + o.Link.String() }

// mustNotShow fails if text holds the canary in any spelling that a printer could choose.
func mustNotShow(t *testing.T, how, text string) {
	t.Helper()
	raw := []byte(canary)
	for _, spelling := range []string{
		canary, hex.EncodeToString(raw), fmt.Sprintf("% x", raw), base64.StdEncoding.EncodeToString(raw)[:20],
		strings.Trim(fmt.Sprint(raw), "[]"), strings.Trim(fmt.Sprintf("%#v", raw), "[]byte{}"), fmt.Sprintf("%q", canary[:8])[:7],
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(spelling)) {
			t.Errorf("%s shows the text: %.200s", how, text)
			return
		}
	}
}

func TestNoVerbOfFmtReveals(t *testing.T) {
	t.Parallel()
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "%10.5s", "%-20v", "%!", "%w"}
	for name, v := range specimens() {
		for _, verb := range verbs {
			mustNotShow(t, verb+" of "+name, fmt.Sprintf(verb, v))
		}
		mustNotShow(t, "Print of "+name, fmt.Sprint(v)+fmt.Sprintln(v)+string(fmt.Append(nil, v)))
		mustNotShow(t, "Errorf with "+name, fmt.Errorf("call: %v", v).Error())
	}
}

func TestNoEncoderReveals(t *testing.T) {
	t.Parallel()
	encoders := map[string]func(any) ([]byte, error){
		"json": json.Marshal,
		"yaml": yaml.Marshal,
		"xml":  xml.Marshal,
		"html/template": func(v any) ([]byte, error) {
			var out bytes.Buffer
			err := template.Must(template.New("page").Parse(`<p title="{{.}}">{{.}}</p><script>var x = {{.}}</script>`)).Execute(&out, v)
			return out.Bytes(), err
		},
	}
	for name, v := range specimens() {
		for how, encode := range encoders {
			text, err := encode(v)
			mustNotShow(t, how+" of "+name, string(text))
			if err != nil {
				mustNotShow(t, "error of "+how+" of "+name, err.Error())
			}
		}
	}
	for _, v := range []any{redact.NewPersonal(canary), redact.NewSecret(canary)} {
		want := fmt.Sprintf("{%q:%q}", "field", fmt.Sprint(v))
		if text, err := json.Marshal(map[string]any{"field": v}); err != nil || string(text) != want {
			t.Errorf("json of %v = %s, %v; want %s", v, text, err, want)
		}
	}
}

func TestNoLoggerReveals(t *testing.T) {
	t.Parallel()
	for name, v := range specimens() {
		var out bytes.Buffer
		z := zerolog.New(&out)
		e := z.Info().Interface("interface", v).Any("any", v).Fields(map[string]any{"fields": v}).Fields([]any{"pair", v})
		if s, ok := v.(fmt.Stringer); ok {
			e = e.Stringer("stringer", s).Stringers("stringers", []fmt.Stringer{s, s})
		}
		if err, ok := v.(error); ok {
			e = e.Err(err).AnErr("an_err", err).Errs("errs", []error{err})
		}
		e.Msgf("%v %+v %#v", v, v, v)
		with := z.With().Interface("context", v).Logger()
		with.Info().Send()
		console := zerolog.New(zerolog.ConsoleWriter{Out: &out, NoColor: true})
		console.Info().Any("any", v).Send()

		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			l := slog.New(h).With("with", v)
			l.Info("msg", "any", v, slog.Group("group", slog.Any("inner", v)))
			l.Info(fmt.Sprint(v))
		}
		log.New(&out, "", 0).Println(v)
		mustNotShow(t, "a log of "+name, out.String())
	}
}

func TestValuesAreOpenedOnlyByReveal(t *testing.T) {
	t.Parallel()
	p, s := redact.NewPersonal(canary), redact.NewSecret(canary)
	if p.Reveal() != canary || s.Reveal() != canary {
		t.Errorf("Reveal = %q, %q", p.Reveal(), s.Reveal())
	}
	if got := fmt.Sprint(p, s); got != "[personal] [secret]" {
		t.Errorf("printed %q", got)
	}
}

func TestEmptyValuesShowAsEmpty(t *testing.T) {
	t.Parallel()
	for _, p := range []redact.Personal{{}, redact.NewPersonal("")} {
		if !p.Empty() || p.Reveal() != "" || p.String() != "" || !p.Equal(redact.Personal{}) {
			t.Errorf("an empty personal field shows %q, reveals %q", p, p.Reveal())
		}
	}
	for _, s := range []redact.Secret{{}, redact.NewSecret("")} {
		if !s.Empty() || s.Reveal() != "" || s.String() != "" || !s.Equal(redact.Secret{}) {
			t.Errorf("an empty secret shows %q, reveals %q", s, s.Reveal())
		}
	}
}

func TestEqualComparesTheTexts(t *testing.T) {
	t.Parallel()
	if !redact.NewPersonal("a").Equal(redact.NewPersonal("a")) || redact.NewPersonal("a").Equal(redact.NewPersonal("b")) {
		t.Error("Personal.Equal does not compare the texts")
	}
	if !redact.NewSecret("a").Equal(redact.NewSecret("a")) || redact.NewSecret("a").Equal(redact.NewSecret("ab")) || redact.NewSecret("a").Equal(redact.Secret{}) {
		t.Error("Secret.Equal does not compare the texts")
	}
}
