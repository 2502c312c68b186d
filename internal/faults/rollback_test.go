package faults

import (
	"strings"
	"testing"
	"time"
)

// maxForgotten limits the time in which every accepted job has a task again.
const maxForgotten = 5 * time.Minute

// TestRedisCameBackOlder restarts Redis from a snapshot that lacks half of the jobs, the progress of a batch and an operator's
// pause, and holds the tasks of jobs that have ended since. The worker that starts afterwards finds all of it at once.
func TestRedisCameBackOlder(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil), atRate("10/s"), withLatency(100*time.Millisecond))
	first := s.startWorker() // gives Redis the name of the installation; the snapshot holds no lease
	until(t, "the worker has started", func() bool { return strings.Contains(first.output(), "worker started") })
	first.terminate()
	id := s.submitBatch(20)
	s.enqueue(8)
	older := server.snapshot()
	s.enqueue(24)
	second := s.startWorker()
	until(t, "calls are made, also for the batch", func() bool { return s.charges() >= 10 && s.batchStatus(id).Ended > 0 })
	second.terminate()
	s.enqueue(12) // however much the worker has done
	s.pauseFleet()
	left := len(s.unfinished())
	server.goBack(older)
	s.startWorker()
	s.awaitPause()
	s.resume()
	s.verifyRemembered(time.Now(), left, 10)
	s.verifyBatchEnded(id, 20)
}

// TestSoakRedisCameBackOlder restarts Redis from a snapshot with leases under a running worker, whose next round comes within
// three minutes.
func TestSoakRedisCameBackOlder(t *testing.T) {
	t.Parallel()
	soak(t)
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil), atRate("3/s"), withLatency(100*time.Millisecond))
	id := s.submitBatch(60)
	s.enqueue(20)
	s.startWorker()
	until(t, "calls are made", func() bool { return s.charges() >= 5 })
	older := server.snapshot()
	s.enqueue(80)
	until(t, "more calls are made", func() bool { return s.charges() >= 30 })
	left := len(s.unfinished())
	server.goBack(older)
	s.verifyRemembered(time.Now(), left, 30)
	s.verifyBatchEnded(id, 60)
}

// TestSoakFailoverToALaggingReplica fails over to a replica that was cut off before the last writes, an operator's pause among
// them.
func TestSoakFailoverToALaggingReplica(t *testing.T) {
	t.Parallel()
	soak(t)
	server := startRedis(t)
	link, thru := startProxy(t, server.addr), startProxy(t, server.addr)
	replica := startReplica(t, link.addr)
	s := newStack(t, onRedis(server, thru), atRate("3/s"), withLatency(100*time.Millisecond))
	id := s.submitBatch(100)
	s.enqueue(40)
	s.startWorker()
	s.startWorker()
	until(t, "calls are made", func() bool { return s.charges() >= 20 })
	link.refuse()
	s.enqueue(80)
	until(t, "more calls are made", func() bool { return s.charges() >= 60 })
	s.pauseFleet()
	thru.refuse()
	server.process.kill()
	left := len(s.unfinished())
	check(t, replica.client.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	thru.tcp.Upstream = replica.addr
	thru.accept()
	s.awaitPause()
	until(t, "no call was made for a while", func() bool { return time.Since(s.pauses[0].from) > 2*pausedWithin })
	s.resume()
	s.verifyRemembered(time.Now(), left, 30)
	s.verifyBatchEnded(id, 100)
}

// verifyRemembered has the oracle check the result, and how long the unfinished jobs took after Redis was back.
func (s *stack) verifyRemembered(back time.Time, left, least int) {
	s.t.Helper()
	if left < least {
		s.t.Errorf("only %d jobs were unfinished when Redis came back", left)
	}
	s.verify(noLoss)
	s.verifyCalls(1)
	took := time.Since(back)
	s.t.Logf("%d jobs were finished within %s", left, took.Round(time.Second))
	if took > maxForgotten {
		s.t.Errorf("that is more than %s", maxForgotten)
	}
}
