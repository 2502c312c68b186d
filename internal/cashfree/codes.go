package cashfree

// Classes lists how a call can end.
func Classes() []Class {
	return []Class{
		Valid, Invalid, Unexpected, Credentials, NotAllowed, NoBalance, Rejected, Duplicate, RateLimited, OtherStatus,
		NotSent, Lost, SourceBroken,
	}
}
