#!/usr/bin/env bash
# The tracked redirect (a plain link, one with rules, one with caps, and with LINKS=1000000 any of so many) beside a bare
# hyper 302 (same listener loop, runtime and allocator) and beside nginx's `return
# 302` with a buffered access log. Servers run on core 0, load (wrk, 64 kept connections, a browser's headers) on core 1,
# one after the other in many short rounds, so that a noisy minute hits all three. Prints a table, writes
# target/bench-redirect.json.
#
# What is divided is server CPU per request: user and system time of all of a process's threads over a round and until
# it is idle again (/proc/PID/stat). For weir that is also the recorder (enrichment, journal) and the followers;
# `edge` is its redirect thread alone, which is what a visitor waits for. ClickHouse, a process of its own, is told apart.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-15} seconds=${SECONDS_PER_ROUND:-1} links=${LINKS:-0} connections=64
query='utm_source=newsletter&gclid=EAIaIQobChMI'
path="/bench?$query"
headers=(
  -H 'User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'
  -H 'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
  -H 'Accept-Language: de-DE,de;q=0.9,en;q=0.8'
  -H 'Accept-Encoding: gzip, deflate, br'
  -H 'Referer: https://www.google.com/'
  -H 'Cookie: theme=dark; session=0123456789abcdef0123456789abcdef'
)
destination='https://shop.example.com/products/spring-sale?ref=weir'

[ "$(uname)" = Linux ] || { echo "bench-redirect: needs Linux (/proc, taskset)" >&2; exit 1; }
[ "$(nproc)" -ge 2 ] || { echo "bench-redirect: needs two cores, one for the load" >&2; exit 1; }
PATH=$PATH:/usr/sbin
missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v wrk >/dev/null || missing+=(wrk)
command -v jq >/dev/null || missing+=(jq)
command -v curl >/dev/null || missing+=(curl)
if [ ${#missing[@]} -gt 0 ]; then
  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "${install[@]}" >/dev/null
  else
    echo "bench-redirect: needs ${missing[*]}: sudo ${install[*]}" >&2
    exit 1
  fi
fi

cargo build --release --locked -q --workspace --bin weir --bin bare_hyper

mkdir -p target
work=$(mktemp -d "$PWD/target/bench-redirect.XXXXXX")
started=()
cleanup() {
  [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

until_there() { # file, pattern
  for _ in $(seq 300); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.1
  done
  echo "bench-redirect: waited in vain for $2 in $1" >&2
  tail -5 "$work"/*.log >&2 || true
  exit 1
}

# ---- weir, with everything it does for a click
admin_key=weir_bench_0123456789abcdefghijklmnopqrstuv
env WEIR_DATA_DIR="$work/data" WEIR_PUBLIC_ADDR=127.0.0.1:0 WEIR_ADMIN_ADDR=127.0.0.1:0 WEIR_PUBLIC_THREADS=1 \
  WEIR_ADMIN_KEY=$admin_key taskset -c 0 target/release/weir serve >"$work/weir.out" 2>"$work/weir.log" &
weir=$!
started+=("$weir")
until_there "$work/weir.out" '"public"'
weir_url=$(jq -r .public "$work/weir.out")
admin_url=$(jq -r .admin "$work/weir.out")
post() { # path, body on stdin
  curl -sSf -o "$work/answer.json" -H "Authorization: Bearer $admin_key" -H 'Content-Type: application/json' \
    --data-binary @- "$admin_url$1"
}
rule() { printf '{"if":%s,"destination":"https://other.example.com/"}' "$1"; }
# No rule holds, so that agent, place, clock and request are all asked; no cap is reached.
rules="[$(rule '{"device":["tv"]}'),$(rule '{"os":["AIX"]}'),$(rule '{"country":["AQ"],"city":["Atlantis"]}'),\
$(rule '{"language":["fr"]}'),$(rule '{"hours":["03:00-03:01"],"weekday":["mon"],"timezone":"Europe/Berlin"}'),\
$(rule '{"ip":["10.0.0.0/8"]}')]"
for members in '"slug":"bench"' "\"slug\":\"rules\",\"rules\":$rules" \
  '"slug":"caps","max_clicks":1000000000000,"daily_click_cap":1000000000,"cap_timezone":"Europe/Berlin"'; do
  echo "{$members,\"destination\":\"$destination\"}" | post /v1/links
done
for ((from = 0; from < links; from += 1000)); do
  jq -cn --argjson from "$from" --arg to "$destination" '{links: [range(1000) | {slug: "s\($from + .)", destination: $to}]}' |
    post /v1/links/bulk
done
echo "request = function() return wrk.format('GET', '/s' .. math.random(0, $links - 1) .. '?$query') end" >"$work/any.lua"

# ---- bare hyper
taskset -c 0 target/release/bare_hyper >"$work/bare.out" 2>"$work/bare.log" &
bare=$!
started+=("$bare")
until_there "$work/bare.out" :
bare_url=http://$(cat "$work/bare.out")

# ---- nginx
port=$((20000 + RANDOM % 20000))
cat >"$work/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
http {
  access_log $work/access.log combined buffer=64k flush=1s;
  keepalive_requests 1000000000;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  server {
    listen 127.0.0.1:$port reuseport;
    location / { add_header Cache-Control no-store; return 302 $destination; }
  }
}
CONF
taskset -c 0 nginx -e "$work/nginx.log" -c "$work/nginx.conf" &
nginx=$!
started+=("$nginx")
until_there "$work/nginx.pid" .
nginx_url=http://127.0.0.1:$port
for _ in $(seq 50); do pgrep -P "$nginx" >/dev/null && break; sleep 0.1; done
nginx_worker=$(pgrep -P "$nginx")

for url in "$weir_url" "$bare_url" "$nginx_url"; do
  status=$(curl -s -o /dev/null -w '%{http_code}' "$url$path")
  [ "$status" = 302 ] || { echo "bench-redirect: $url answered $status" >&2; exit 1; }
done

# ---- processor time, in clock ticks
hertz=$(getconf CLK_TCK)
ticks() { sed 's/.*) //' "$1" 2>/dev/null | awk '{ print $12 + $13 }'; }
process_ticks() { ticks "/proc/$1/stat"; }
edge_ticks() {
  local sum=0 task
  for task in /proc/"$1"/task/*; do
    case $(cat "$task/comm" 2>/dev/null) in weir-edge-*) sum=$((sum + $(ticks "$task/stat"))) ;; esac
  done
  echo "$sum"
}
settle() { # until the process has nothing to do any more, at most 5 s
  local before after
  for _ in $(seq 20); do
    before=$(process_ticks "$1")
    sleep 0.25
    after=$(process_ticks "$1")
    [ $((after - before)) -le 1 ] && return
  done
}

round() { # name, pid, url, more for wrk
  local before edge_before=0 child_before=0 child= weirs=
  [ "$2" = "$weir" ] && weirs=yes && child=$(pgrep -P "$2" | head -1)
  before=$(process_ticks "$2")
  [ -n "$weirs" ] && edge_before=$(edge_ticks "$2")
  [ -n "$child" ] && child_before=$(process_ticks "$child")
  taskset -c 1 wrk -t 1 -c $connections -d "${seconds}s" --latency "${headers[@]}" "${@:4}" "$3" >"$work/wrk.out"
  settle "$2"
  local cpu=$(($(process_ticks "$2") - before)) edge=0 database=0
  [ -n "$weirs" ] && edge=$(($(edge_ticks "$2") - edge_before))
  [ -n "$child" ] && database=$(($(process_ticks "$child") - child_before))
  if grep -q 'Socket errors' "$work/wrk.out"; then
    cat "$work/wrk.out" >&2
    exit 1
  fi
  # wrk gives times as 1.23ms, 456.00us or 1.20s.
  awk -v name="$1" -v cpu="$cpu" -v edge="$edge" -v database="$database" -v hertz="$hertz" '
    function us(t) { if (t ~ /us$/) return t + 0; if (t ~ /ms$/) return t * 1000; return t * 1000000 }
    $1 == "50%" { p50 = us($2) } $1 == "90%" { p90 = us($2) } $1 == "99%" { p99 = us($2) }
    / requests in / { requests = $1 }
    END {
      per = 1e6 / hertz / requests
      printf "{\"name\":\"%s\",\"requests\":%d,\"cpu_us\":%.3f,\"edge_us\":%.3f,\"database_us\":%.3f,", \
        name, requests, cpu * per, edge * per, database * per
      printf "\"p50_us\":%.0f,\"p90_us\":%.0f,\"p99_us\":%.0f}\n", p50, p90, p99
    }' "$work/wrk.out"
}

for url in "$weir_url" "$bare_url" "$nginx_url"; do # caches and connections warm
  taskset -c 1 wrk -t 1 -c $connections -d 1s "${headers[@]}" "$url$path" >/dev/null
done
settle "$weir"
for _ in $(seq "$rounds"); do
  round weir "$weir" "$weir_url$path"
  round bare "$bare" "$bare_url$path"
  round nginx "$nginx_worker" "$nginx_url$path"
  round rules "$weir" "$weir_url/rules?$query"
  round caps "$weir" "$weir_url/caps?$query"
  if [ "$links" -gt 0 ]; then round any "$weir" "$weir_url" -s "$work/any.lua"; fi
done >"$work/rounds.ndjson"

# Medians over the rounds, of ratios too: what is divided was measured within the same seconds.
jq -s --arg destination "$destination" '
  def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2] + .[length / 2 - 1]) / 2 end;
  . as $rounds
  | def of_all($name; $field): [$rounds[] | select(.name == $name) | .[$field]];
  def of($name; $field): of_all($name; $field) | median;
  def figures($name): {
      cpu_us: of($name; "cpu_us"),
      p50_us: of($name; "p50_us"),
      p90_us: of($name; "p90_us"),
      p99_us: of($name; "p99_us"),
      requests_per_round: of($name; "requests")
    };
  def ratio($field; $beside; $below):
    [of_all("weir"; $field), of_all($beside; $below)] | transpose | map(.[0] / .[1]) | median;
  def ratios($field; $below): {over_bare: ratio($field; "bare"; $below), over_nginx: ratio($field; "nginx"; $below)};
  figures("weir") as $weir | figures("bare") as $bare | figures("nginx") as $nginx
  | of("weir"; "edge_us") as $edge
  | {
      weir: ($weir + {edge_us: $edge, database_us: of("weir"; "database_us")}),
      bare_hyper: $bare,
      nginx: $nginx,
      more: [["rules", "caps", "any"][] as $name | select(any($rounds[]; .name == $name))
        | figures($name) + {name: $name, edge_us: of($name; "edge_us")}],
      ratios: {
        cpu: ratios("cpu_us"; "cpu_us"),
        edge: ratios("edge_us"; "cpu_us"),
        p50: ratios("p50_us"; "p50_us"),
        p99: ratios("p99_us"; "p99_us")
      },
      rounds: $rounds
    }' "$work/rounds.ndjson" >target/bench-redirect.json

jq -r '
  def two: . * 100 | round / 100 | tostring;
  def row($name; $f):
    [$name, ($f.cpu_us | two), (if $f.edge_us then $f.edge_us | two else "" end)] + [$f.p50_us, $f.p90_us, $f.p99_us | two];
  (["server", "cpu_us/request", "edge thread", "p50_us", "p90_us", "p99_us"],
   row("weir"; .weir), row("bare hyper"; .bare_hyper), row("nginx"; .nginx),
   (.more[] | row({rules: "weir, six rules", caps: "weir, two caps", any: "weir, any link"}[.name]; .)),
   ["", "", "", "", ""],
   ["ratio", "cpu", "edge thread", "p50", "p99"],
   (["over bare hyper", "over nginx"] as $names | ["over_bare", "over_nginx"] as $keys | range(2) as $i
    | [$names[$i], (.ratios.cpu[$keys[$i]] | two), (.ratios.edge[$keys[$i]] | two),
       (.ratios.p50[$keys[$i]] | two), (.ratios.p99[$keys[$i]] | two)]))
  | @tsv' target/bench-redirect.json | awk -F'\t' '{ printf "%-16s %16s %12s %10s %10s %10s\n", $1, $2, $3, $4, $5, $6 }'
jq -r '"weir: edge thread \(.weir.edge_us) us, ClickHouse \(.weir.database_us) us of CPU per request"' \
  target/bench-redirect.json
