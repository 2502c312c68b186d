// Package arch holds no code. Its test checks which packages of kycq may import which; the rules are in rules_test.go.
package arch
