//go:build !unix

package config

import "errors"

func onlyRootWrites(string) error {
	return errors.New("a configuration file cannot name a command on this system")
}
