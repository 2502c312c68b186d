package config

// Value is a setting as Load found it.
type Value struct {
	Setting
	// Text is the value, [secret] where it is one; empty where nothing is set.
	Text string
	// Source is flag, environment, default or the path of the YAML file, and the path of the file that held the value.
	Source string
}

// shown is a value that may be printed.
func shown(s Setting, text string) string {
	switch {
	case text == "":
		return ""
	case s.NoFlagPassword:
		return hidePassword(text)
	case s.Secret:
		return "[secret]"
	}
	return text
}
