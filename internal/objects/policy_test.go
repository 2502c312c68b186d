package objects

import "testing"

func TestOnlyAPolicyThatDeniesEverythingWithoutTLSCounts(t *testing.T) {
	t.Parallel()
	const tls = `"Condition":{"Bool":{"aws:SecureTransport":"false"}}`
	for statement, want := range map[string]bool{
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],` + tls + `}`:                                     true,
		`{"Effect":"Deny","Principal":{"AWS":["*"]},"Action":["s3:*"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":["false"]}}}`:                true,
		`{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*",` + tls + `}`:                                                       false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*",` + tls + `}`:                                                false,
		`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::1:user/x"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*",` + tls + `}`:                            false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b",` + tls + `}`:                                                          false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::other/*",` + tls + `}`:                                                    false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"},"StringEquals":{"aws:x":"y"}}}`: false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`:                               false,
		`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}`:                                                                                   false,
		`nonsense`: false,
	} {
		if refusesPlainHTTP([]byte(`{"Statement":[`+statement+`]}`), "b") != want {
			t.Errorf("%s: want %v", statement, want)
		}
	}
}
