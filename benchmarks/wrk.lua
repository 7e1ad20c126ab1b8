-- Post the body in the file named on the command line; print what was measured as a line of JSON.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, ',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max
  ))
  io.write(string.format(
    '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    errors.connect, errors.read, errors.write, errors.timeout, errors.status
  ))
end
