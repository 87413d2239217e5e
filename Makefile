# Two commands: `make run` and `make test`. Everything fetched is pinned and checked, and lands in .weir/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
WEB := dashboard/web
RELEASE := target/release

# Always of the whole workspace: cargo chooses the dependencies' features by what is asked for, and builds all of them
# anew when that changes.
BUILD := cargo build --locked --workspace
BUILD_TESTED := $(BUILD) --bins --tests
BENCH := cargo bench --locked --workspace

.PHONY: help run build test books-twin bench-ledger demo loadtest libchdb geoip networks agents data web test-clients cdnow open-bandit chromium \
	lint test-rust test-api test-web test-browser fuzz bench bench-redirect bench-links bench-panels measure-web soak-web \
	shots clean

help:
	@echo "make run             set up and run the engine (dashboard, API, redirects, embedded ClickHouse)"
	@echo "make demo            in another terminal: send realistic traffic into it"
	@echo "make test            set up and pass every test"
	@echo "make build           all that run does, except running"
	@echo "make loadtest        in another terminal: load with an exact oracle"
	@echo "make bench-panels    the dashboard's panels over ten million clicks, or CLICKS=100000000"
	@echo "make measure-web     what each page of the dashboard costs a browser"
	@echo "make shots           pictures of every page of the dashboard into shots/, each checked; or PAGES=\"map link\""
	@echo "make soak-web        the dashboard open under load: MINUTES=4 RATE=1000"
	@echo "make bench           criterion benches;  make bench-redirect  the redirect beside bare hyper and nginx (LINKS=1000000)"
	@echo "make bench-links     what a visit costs among a million links, with rules, variants, caps, repeats"

# ---- running

build: libchdb geoip networks web
	$(BUILD) --release --bin weir --bin weir-loadtest

# The demo's visitors come from all over the world by way of X-Forwarded-For: believed from this machine only.
run: build
	WEIR_TRUSTED_PROXIES=$${WEIR_TRUSTED_PROXIES:-127.0.0.0/8,::1/128} $(RELEASE)/weir serve

demo: agents geoip
	$(BUILD) --release -q --bin weir --bin weir-loadtest
	$(RELEASE)/weir-loadtest demo

loadtest: agents geoip
	$(BUILD) --release -q --bin weir --bin weir-loadtest
	$(RELEASE)/weir-loadtest click-to-sale

# ---- what is fetched

libchdb:
	@scripts/fetch-libchdb

geoip:
	@scripts/fetch-geoip

networks:
	@scripts/fetch-networks

agents:
	@scripts/fetch-agents

data: libchdb geoip networks agents

test-clients:
	@scripts/fetch-test-clients

cdnow:
	@scripts/fetch-cdnow

open-bandit:
	@scripts/fetch-open-bandit

chromium:
	@scripts/ensure-chromium

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund --silent
	@touch $@

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/src $(WEB)/public $(WEB)/scripts -type f 2>/dev/null) \
		$(WEB)/index.html $(WEB)/docs.html $(WEB)/vite.config.ts
	cd $(WEB) && npm run --silent build
	@touch $@ dashboard/src/web_app.rs # cargo cannot know of files that were not there when it last embedded them

web: $(WEB)/dist/index.html

# ---- testing

test: data web test-clients cdnow open-bandit chromium lint test-rust test-api test-web test-browser
	@echo "all tests passed"

lint:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test-rust: data web test-clients cdnow open-bandit
	$(BUILD_TESTED)
	cargo test --workspace --locked

# The API, asked whatever its document allows.
test-api: data web
	$(BUILD_TESTED)
	scripts/test-api

test-web: web
	cd $(WEB) && npm run --silent check && npm test --silent

test-browser: data web chromium
	$(BUILD_TESTED)
	cd $(WEB) && npm run --silent e2e

# The same targets as in `make test`, one for each provider, for as long as wanted in all: what payment providers send,
# damaged and signed.
fuzz:
	WEIR_FUZZ_SECONDS=$${WEIR_FUZZ_SECONDS:-600} WEIR_FUZZ_SEED=$${WEIR_FUZZ_SEED:-$$(date +%s)} \
		cargo test --locked --workspace --lib providers::fuzz -- --nocapture --test-threads=1

# ---- measuring

bench-panels: libchdb
	$(BUILD) --release -q --bin panels
	$(RELEASE)/panels run --clicks $${CLICKS:-10000000}

# What each page costs a browser, and whether one that stays open stays fast.
measure-web: data web chromium
	$(BUILD_TESTED)
	cd $(WEB) && node e2e/measure.mjs

soak-web: data web chromium
	$(BUILD_TESTED)
	cd $(WEB) && node e2e/soak.mjs $(MINUTES) $(RATE)

# Every page, light and dark, at 390, 1280 and 1920 pixels, of an engine that the demo has filled.
shots: data agents web chromium
	$(BUILD_TESTED)
	cd $(WEB) && node e2e/shots.mjs $(CURDIR)/shots $(PAGES)

# The books against their naive twin over 100,000 random operations, with crashes and replays on the way.
books-twin:
	WEIR_BOOKS_OPERATIONS=100000 cargo test --release --locked --workspace --lib books::tests::twin -- --nocapture

# What the books apply in a second, a balance behind a million entries, and ten million random postings that add up.
bench-ledger:
	$(BUILD) --release -q --bin ledger
	$(RELEASE)/ledger apply
	$(RELEASE)/ledger balance
	$(RELEASE)/ledger postings

bench:
	$(BENCH) --bench click_way --bench fold --bench followers --bench redirect

bench-redirect: libchdb geoip networks
	benches/redirect.sh

# The redirect's own work among a million links, by what a link asks for, and what happens to its hit behind the answer.
bench-links: geoip networks
	$(BENCH) --bench redirect
	$(BENCH) --bench click_way -- 'enrich|signals'

clean:
	rm -rf target .weir $(WEB)/node_modules $(WEB)/dist
