-- Post the body given on the command line, and print what was measured as one line of JSON.

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = arguments[1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, ',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99)
  ))
  io.write(string.format(
    '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    errors.connect, errors.read, errors.write, errors.timeout, errors.status
  ))
end
