// weir.js: keeps the click token first-party and tells the site's Weir what its visitors do. Served without its comment
// lines and indentation (ingest/src/collect/script.rs). It sets one cookie (wclid) and only where a click brought
// one, holds no id of the visitor, reads no text and no field of the page, and sends nothing to visitors' privacy
// signals (Do Not Track, Global Privacy Control) or before a required consent.
//
// <script defer src="https://go.example/weir.js" data-site="ste_…" data-consent="required"></script>
// weir('event', 'signup', {value: 9.99, currency: 'EUR', plan: 'pro'})   weir('consent', true)   weir.wclid()
(function (w, d) {
  var script = d.currentScript, nav = navigator, loc = location, root = d.documentElement;
  var early = w.weir && w.weir.q || [];
  if (!script || w.weir && w.weir.wclid) return;
  var data = script.dataset, url = script.src.replace(/weir\.js.*/, 'collect');
  var refuses = nav.doNotTrack == 1 || w.doNotTrack == 1 || nav.globalPrivacyControl;
  var consent = !refuses && data.consent != 'required';
  var queue = [], timer, page, view, engaged, since, depth;
  var token = (/[?&]wclid=([\w-]{20,100})(&|$)/.exec(loc.search) || [])[1];

  // The token: a cookie for the site's server, local storage where there are none. Thirty days, as the cookie of the link.
  function stored(value) {
    try {
      var days = 2592e6, old = (localStorage.weir || '').split(' ');
      if (value != null) {
        if (data.cookies != 'false')
          d.cookie = 'wclid=' + value + ';path=/;samesite=lax;max-age=' + (value ? days / 1e3 : 0) + (loc.protocol == 'https:' ? ';secure' : '');
        if (value) localStorage.weir = value + ' ' + Date.now(); else delete localStorage.weir;
      } else return (/(^|; )wclid=([\w-]+)/.exec(d.cookie) || [])[2] || (Date.now() - old[1] < days ? old[0] : '');
    } catch (e) {}
  }
  function wclid() { return token || consent && stored() || ''; }
  // Forms with data-weir-wclid send the token along, in a field of that name.
  function fill() {
    if (wclid()) d.querySelectorAll('form[data-weir-wclid]').forEach(function (form) {
      var name = form.dataset.weirWclid || 'wclid', field = form.elements[name];
      if (!field) {
        field = d.createElement('input');
        field.type = 'hidden';
        field.name = name;
        form.appendChild(field);
      }
      field.value = wclid();
    });
  }

  // Events wait a second for others and leave at once when the page does.
  function put(type, more) {
    if (!consent) return;
    more.type = type;
    more.url = page;
    more.view = view;
    more.at = Date.now();
    queue.push(more);
    if (queue.length > 19) send();
    else timer = timer || setTimeout(send, 1e3);
  }
  function send() {
    clearTimeout(timer);
    timer = 0;
    if (!queue.length) return;
    queue.forEach(function (event) {
      event.ago = Date.now() - event.at;
      delete event.at;
    });
    var body = JSON.stringify({site: data.site, wclid: wclid() || undefined, events: queue});
    queue = [];
    try {
      if (nav.sendBeacon(url, body)) return;
    } catch (e) {}
    try {
      fetch(url, {method: 'POST', body: body, keepalive: true, credentials: 'include'}).catch(function () {});
    } catch (e) {}
  }

  // Time counts while the page is seen and has the focus; each part is told once, so that parts add up.
  function watch() {
    var now = Date.now();
    if (since) engaged += now - since;
    since = d.visibilityState == 'visible' && d.hasFocus() ? now : 0;
    depth = Math.min(100, Math.max(depth, Math.round(100 * (w.scrollY + w.innerHeight) / root.scrollHeight)));
  }
  function leave() {
    if (!page) return;
    watch();
    if (engaged > 99) {
      put('engagement', {engaged_ms: engaged, scroll: depth});
      engaged = 0;
    }
  }
  // A new address in the same document is a new page; a new fragment is not.
  function show(again) {
    var now = loc.href.split('#')[0];
    if (d.prerendering || now == page && again !== true) return;
    var from = page && again !== true ? page : d.referrer;
    leave();
    page = now;
    view = Math.floor(Math.random() * 9e15);
    engaged = since = depth = 0;
    watch();
    put('pageview', {referrer: from, title: d.title.slice(0, 255)});
  }

  function selector(element) {
    for (var path = []; element && element != d.body && element != root && path.length < 5; element = element.parentElement) {
      var name = element.localName, n = 1, other = element;
      if (element.id) {
        path.unshift(name + '#' + element.id);
        break;
      }
      while (other = other.previousElementSibling) if (other.localName == name) n++;
      path.unshift(name + (n > 1 ? ':nth-of-type(' + n + ')' : ''));
    }
    return path.join('>').slice(0, 255);
  }
  function clicked(e) {
    var target = e.target.closest && e.target.closest('a,button,input,select,textarea,label,summary,[role=button]') || e.target;
    if (!target.getBoundingClientRect || e.button > 1) return;
    var box = target.getBoundingClientRect(), out = target.host && target.host != loc.host;
    put('click', {
      selector: selector(target), href: out ? target.href.split(/[?#]/)[0].slice(0, 512) : undefined,
      x: e.pageX, y: e.pageY, element_x: e.clientX - box.left, element_y: e.clientY - box.top,
      page_width: root.scrollWidth, page_height: root.scrollHeight
    });
    if (out) send();
  }

  function weir(what, name, more) {
    if (what == 'event') {
      var event = {name: name, properties: {}};
      for (var key in more) (key == 'value' || key == 'currency' ? event : event.properties)[key] = more[key];
      put('custom', event);
    } else if (what == 'consent') {
      if (name && !consent && !refuses) {
        consent = true;
        start();
      } else if (!name) {
        consent = false;
        queue = [];
        stored('');
      }
    }
  }
  function start() {
    if (consent) {
      if (token) stored(token);
      page = 0;
      show();
    }
    fill();
  }
  weir.wclid = wclid;
  w.weir = weir;
  ['pushState', 'replaceState'].forEach(function (name) {
    var own = history[name];
    history[name] = function () {
      var result = own.apply(this, arguments);
      if (page) show();
      return result;
    };
  });
  function on(target, names, act) {
    names.split(' ').forEach(function (name) { target.addEventListener(name, act, true); });
  }
  on(w, 'popstate', function () { if (page) show(); });
  on(w, 'pageshow', function (e) { if (e.persisted && page) show(true); });
  on(w, 'focus blur scroll', function () { if (page) watch(); });
  on(w, 'pagehide', function () { leave(); send(); });
  on(d, 'visibilitychange', function () {
    if (d.visibilityState == 'hidden') { leave(); send(); } else if (page) watch();
  });
  on(d, 'prerenderingchange', start);
  on(d, 'submit', fill);
  on(d, 'click auxclick', clicked);
  start();
  [].forEach.call(early, function (call) { weir.apply(0, call); });
})(window, document);
