// Package bulk moves much data with few system calls: writes that are made one,
// reads that are waited for in the kernel, and pipes that hold more. What moves
// little is not changed by it.
package bulk
