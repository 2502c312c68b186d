package metrics

import "github.com/prometheus/client_golang/prometheus"

// DescribeShared describes the metrics that are read from Redis.
func DescribeShared(to chan<- *prometheus.Desc) { (&shared{}).Describe(to) }
