-- Requests in turn. The file that is the first argument holds a token, and then a path a line.

local threads = 0

function setup(thread)
  thread:set("first", threads * 127) -- each begins elsewhere
  threads = threads + 1
end

function init(args)
  local lines = io.lines(args[1])
  local headers = { ["Authorization"] = "Bearer " .. lines() }
  requests = {}
  for path in lines do
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  at = first
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- Answers, microseconds, the time in microseconds that one of a hundred took longer than, what went wrong.
function done(summary, latency)
  local wrong = 0
  for _, count in pairs(summary.errors) do
    wrong = wrong + count
  end
  io.write(string.format("result %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(99), wrong))
end
