// Package api is the HTTP API of `kycq serve`, with which programs in any language submit, read and control jobs. It keeps the
// promises of package tasks. Its operations are described by api/openapi.json, which a test compares with the code.
//
// Every path but the public ones (publicPaths) needs a key, and every operation the scope that its description names. A
// submission is answered with 202 only after the job's record is in S3. Answers, problems and logs never repeat what was
// submitted, and an unmasked image is never sent to a client or written to a file of this machine.
//
// Bodies with images are read into at most maxBodies buffers; further ones wait unread.
package api
