package config

import "github.com/spf13/pflag"

// SettingAnnotation marks the flags of settings, so that help can show them apart from a command's own.
const SettingAnnotation = "kycq_setting"

// AddConfigFlag registers --config.
func AddConfigFlag(flags *pflag.FlagSet) {
	flags.String(configFlag, "", "YAML file of settings (KYCQ_CONFIG)")
}

// AddFlags registers the flags of the settings of some areas. They are read by Load, not by the caller.
func AddFlags(flags *pflag.FlagSet, areas ...Area) {
	for _, s := range Settings(areas...) {
		if name := s.Flag(); name != "" {
			f := flags.VarPF(&flagText{text: s.Default, form: s.Form}, name, "", s.Help)
			if s.Form == "bool" {
				f.NoOptDefVal = "true"
			}
			f.Annotations = map[string][]string{SettingAnnotation: {s.Name}}
		}
		if name := s.FileFlag(); name != "" {
			f := flags.VarPF(&flagText{form: "path"}, name, "", "file that holds "+s.Env())
			f.Annotations = map[string][]string{SettingAnnotation: {s.Name}}
		}
	}
}

// flagText holds a flag as it was written: Load parses it, so that its errors are the same in every spelling.
type flagText struct{ text, form string }

func (f *flagText) String() string { return f.text }
func (f *flagText) Type() string   { return f.form }

func (f *flagText) Set(text string) error {
	f.text = text
	return nil
}
