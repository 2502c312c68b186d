//go:build !sabotage

package sabotage

// Enabled tells whether this is a build that can be broken on purpose.
const Enabled = false

// At does nothing in ordinary builds, and is inlined away.
func At(Step) {}

// Broken is false in ordinary builds.
func Broken(Mutation) bool { return false }
