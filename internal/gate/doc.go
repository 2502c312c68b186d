// Package gate is the one place that every call to the vendor passes: hold, breaker, rate, in this order.
package gate
