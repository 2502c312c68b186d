package metrics

import "github.com/prometheus/client_golang/prometheus"

// DescribeShared lists what is read from Redis.
func DescribeShared(to chan<- *prometheus.Desc) { (&shared{}).Describe(to) }
