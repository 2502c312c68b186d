package config

import "github.com/spf13/pflag"

// SettingAnnotation marks the flags of settings: help lists them apart from a command's own.
const SettingAnnotation = "kycq_setting"

// AddConfigFlag registers --config.
func AddConfigFlag(flags *pflag.FlagSet) {
	flags.String(configFlag, "", "YAML file with settings (KYCQ_CONFIG); else that of the user, else /etc/kycq/config.yaml")
}

// AddFlags registers the flags of the settings of some areas. Load reads them.
func AddFlags(flags *pflag.FlagSet, areas ...Area) {
	add := func(s Setting, value *flagText, name, help string) *pflag.Flag {
		f := flags.VarPF(value, name, "", help)
		f.Annotations = map[string][]string{SettingAnnotation: {s.Name}}
		return f
	}
	for _, s := range Settings(areas...) {
		if name := s.Flag(); name != "" {
			f := add(s, &flagText{text: s.Default, form: s.Form}, name, s.Help)
			if s.Form == "bool" {
				f.NoOptDefVal = "true"
			}
		}
		if name := s.FileFlag(); name != "" {
			add(s, &flagText{form: "path"}, name, "file that contains "+s.Env())
		}
	}
}

// flagText is a flag's unparsed text: Load parses it like the other spellings.
type flagText struct{ text, form string }

func (f *flagText) String() string { return f.text }
func (f *flagText) Type() string   { return f.form }

func (f *flagText) Set(text string) error {
	f.text = text
	return nil
}
