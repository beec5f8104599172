// Comfort for pages that work without it: live regions, copying, finding, keys. Nothing here makes a page: regions are
// fetched from the server as it would show them anyway, and put in only where no hand is on them.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const body = document.body;
  const status = $("#live");
  const two = (n) => String(n).padStart(2, "0");
  const clock = (d) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;

  // ---- times ------------------------------------------------------------------------------------------------------
  const words = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 172800) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} days`;
  };
  // The server's clock counts: the page says when it was read.
  let skew = Number(body.dataset.readAt || Date.now()) - Date.now();
  const tell = () => {
    const now = Date.now() + skew;
    for (const time of $$("time[data-at]")) {
      const rel = $(".rel", time);
      const gone = now - Number(time.dataset.at);
      const text = Math.abs(gone) < 1000 ? "now" : gone > 0 ? `${words(gone)} ago` : `in ${words(-gone)}`;
      if (rel && rel.textContent !== text) rel.textContent = text;
    }
  };
  setInterval(tell, 5000);

  // ---- live -------------------------------------------------------------------------------------------------------
  let source = null, paused = false, heard = Date.now(), last = new Date(Date.now() + skew), busy = false, again = false, lastFetch = 0, asking = null, leaving = false;
  const say = (state, text) => {
    if (!status) return;
    status.dataset.state = state;
    if (status.textContent !== text) status.textContent = text;
    body.classList.toggle("stale", state === "lost");
  };
  const held = (node) => {
    const active = document.activeElement;
    if (active && active !== body && node.contains(active)) return true;
    const selection = getSelection();
    if (selection && !selection.isCollapsed && selection.anchorNode && node.contains(selection.anchorNode)) return true;
    if ($$("input", node).some((i) => i.checked !== i.defaultChecked || (i.type !== "checkbox" && i.type !== "radio" && i.value !== i.defaultValue))) return true;
    if ($$("textarea", node).some((area) => area.value !== area.defaultValue)) return true;
    if ($$("option", node).some((option) => option.selected !== option.defaultSelected && option.closest("select").querySelector("[selected]"))) return true;
    return $$("details[data-touched]", node).length > 0;
  };
  let announced = 0;
  const announce = (text) => {
    const announcer = $("#announcer");
    if (announcer && Date.now() - announced > 10000) { announced = Date.now(); announcer.textContent = text; }
  };
  const put = (old, fresh) => { const node = document.adoptNode(fresh); old.replaceWith(node); dress(node); };
  const plain = (node) => { const copy = node.cloneNode(true); for (const rel of $$(".rel, [data-copies]", copy)) rel.remove(); return copy; };
  const same = (a, b) => plain(a).innerHTML === plain(b).innerHTML;
  const rowsOf = (region) => new Map($$("tbody tr[id]", region).map((row) => [row.id, row]));
  const patchRows = (region, fresh) => {
    const [mine, theirs] = [rowsOf(region), rowsOf(fresh)];
    if (!mine.size || !theirs.size) { if (mine.size !== theirs.size && !held(region)) put(region, fresh); return; }
    for (const [id, row] of mine) {
      const other = theirs.get(id);
      if (!other) row.classList.add("gone");
      else if (!held(row)) { if (!same(row, other)) { other.classList.add("fresh"); put(row, other); } }
    }
    const count = [...theirs.keys()].filter((id) => !mine.has(id)).length;
    let newer = $(".newer", region.parentNode);
    if (!count || new URLSearchParams(location.search).has("after")) { newer?.remove(); return; }
    if (!newer) {
      newer = document.createElement("button");
      newer.type = "button";
      newer.className = "newer";
      newer.addEventListener("click", () => location.reload());
      region.before(newer);
    }
    newer.textContent = `${count} new, show`;
    announce(newer.textContent);
  };
  const refresh = async () => {
    if (leaving) return;
    if (busy) { again = true; return; }
    busy = true;
    asking = new AbortController();
    lastFetch = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "follow", cache: "no-store", signal: asking.signal });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (paused) return;
      skew = Number(page.body.dataset.readAt || Date.now() + skew) - Date.now();
      for (const region of $$("[data-region][id]")) {
        const fresh = page.getElementById(region.id);
        if (!fresh) continue;
        if (region.dataset.region === "rows") patchRows(region, fresh);
        else if (!held(region) && !same(region, fresh)) put(region, fresh);
      }
      last = new Date(Date.now() + skew);
      say("live", `Live ${clock(last)}`);
      tell();
    } catch { /* the watch below says so */ } finally {
      busy = false;
      if (again) { again = false; setTimeout(soon, 1000); }
    }
  };
  // What is shown may be gone with the form that was sent: nothing is asked of it any more.
  const leave = () => { leaving = true; asking?.abort(); setTimeout(() => { leaving = false; }, 3000); };
  const soon = () => { if (Date.now() - lastFetch >= 1000) refresh(); else if (!again) { again = true; setTimeout(() => { again = false; refresh(); }, 1000); } };
  const open = () => {
    if (source || paused || document.hidden || !body.dataset.live) return;
    heard = Date.now();
    source = new EventSource(body.dataset.live);
    const here = () => { heard = Date.now(); };
    source.addEventListener("open", () => { here(); say("live", `Live ${clock(last)}`); });
    for (const kind of ["changed", "beat"]) source.addEventListener(kind, (event) => { here(); if (event.data === "1") soon(); });
  };
  const close = () => { source?.close(); source = null; };
  if (body.dataset.live) {
    open();
    document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else { open(); refresh(); } });
    addEventListener("pagehide", close);
    setInterval(() => {
      if (paused) say("paused", `Paused ${clock(last)}`);
      else if (Date.now() - heard > 15000) {
        say("lost", `Reconnecting, last ${clock(last)}`);
        if (source?.readyState === EventSource.CLOSED) { close(); const was = heard; open(); heard = was; }
      }
    }, 1000);
  }
  const pause = $("#pause");
  const toggle = () => {
    if (!pause) return;
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) { close(); say("paused", `Paused ${clock(last)}`); } else { open(); refresh(); }
  };
  if (pause) { pause.hidden = false; pause.addEventListener("click", toggle); }
  // What waits for something outside asks more often than the stream tells, for as long as it waits.
  setInterval(() => {
    const waiting = $("[data-refresh]");
    if (waiting && !document.hidden && !paused && Date.now() - lastFetch >= Number(waiting.dataset.refresh) * 1000) refresh();
  }, 1000);
  document.addEventListener("click", (event) => { const s = event.target.closest?.("summary"); if (s) s.parentElement.dataset.touched = ""; });

  // ---- forms ------------------------------------------------------------------------------------------------------
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-filters]")) for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    if (form.method === "post") { if (form.dataset.sent) event.preventDefault(); form.dataset.sent = "1"; setTimeout(() => delete form.dataset.sent, 3000); leave(); }
  });
  addEventListener("pageshow", () => { for (const field of $$("[data-filters] :disabled")) field.disabled = false; });
  for (const form of $$("[data-choose]")) { $("button", form).hidden = true; $("select", form).addEventListener("change", () => form.submit()); }

  // Fields that matter only with another one appear and go with it.
  const bind = (form) => {
    for (const part of $$("[data-needs]", form)) {
      const [name, value] = part.dataset.needs.split("=");
      const fields = [...form.elements].filter((field) => field.name === name);
      part.hidden = fields.length > 0 && !fields.some((field) => value ? field.checked && field.value === value : field.type === "checkbox" ? field.checked : field.value !== "false");
    }
  };
  document.addEventListener("change", (event) => { if (event.target.form) bind(event.target.form); });

  // ---- copying, finding -------------------------------------------------------------------------------------------
  const copy = async (button, text) => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { button.textContent = "Not copied"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  function dress(root) {
    for (const form of $$("form", root)) bind(form);
    for (const node of $$("[data-copy]", root)) {
      if (node.nextElementSibling?.dataset.copies || $("[data-copies]", node) || !navigator.clipboard) continue;
      const button = document.createElement("button");
      button.type = "button"; button.className = "plain"; button.textContent = "Copy"; button.dataset.copies = "1";
      button.addEventListener("click", () => copy(button, plain(node).textContent.trim()));
      if (node.tagName === "DD") node.append(" ", button); else node.after(button);
    }
    for (const button of $$("[data-copy-from]", root)) {
      button.hidden = !navigator.clipboard;
      button.addEventListener("click", async () => copy(button, await (await fetch(button.dataset.copyFrom)).text()));
    }
    for (const input of $$("[data-find]", root)) {
      input.hidden = false;
      input.addEventListener("input", () => find($(input.dataset.find), input.value.toLowerCase()));
      input.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    }
    const all = $("#all", root);
    if (all) { all.hidden = false; all.addEventListener("change", () => { for (const box of $$('tbody input[name="id"]', all.form)) box.checked = all.checked; }); }
  }
  const find = (tree, text) => {
    if (!tree) return;
    let first = null;
    for (const leaf of $$(".leaf, summary", tree)) {
      const found = text && leaf.textContent.toLowerCase().includes(text);
      leaf.classList.toggle("found", Boolean(found));
      if (!found) continue;
      first ??= leaf;
      for (let up = leaf.closest("details"); up && tree.contains(up); up = up.parentElement.closest("details")) up.open = true;
    }
    first?.scrollIntoView({ block: "nearest" });
  };
  dress(document);

  // ---- keys -------------------------------------------------------------------------------------------------------
  const keys = [["/", "go to a message, an object, or events"], ["j, k", "next and previous row"], ["Enter", "open the row"], ["x", "check the row"], ["p", "pause or go on"], ["?", "this list"]];
  const off = () => localStorage.getItem("keys") === "off";
  let dialog = null;
  const help = () => {
    if (!dialog) {
      dialog = document.createElement("dialog");
      const title = document.createElement("h2"); title.textContent = "Keys"; title.id = "keys-title"; dialog.setAttribute("aria-labelledby", "keys-title");
      const list = document.createElement("dl"); list.className = "facts";
      for (const [key, does] of keys) { const dt = document.createElement("dt"), dd = document.createElement("dd"), kbd = document.createElement("kbd"); kbd.textContent = key; dt.append(kbd); dd.textContent = does; list.append(dt, dd); }
      const label = document.createElement("label"); label.className = "check";
      const box = document.createElement("input"); box.type = "checkbox"; box.checked = !off();
      box.addEventListener("change", () => { if (box.checked) localStorage.removeItem("keys"); else localStorage.setItem("keys", "off"); });
      label.append(box, "Keys are on");
      const shut = document.createElement("button"); shut.type = "button"; shut.textContent = "Close"; shut.addEventListener("click", () => dialog.close());
      dialog.append(title, list, label, shut); body.append(dialog);
    }
    dialog.showModal();
  };
  const button = $("#keys");
  if (button) { button.hidden = false; button.addEventListener("click", help); }
  const at = (step) => {
    const rows = $$("tr[data-href]");
    if (!rows.length) return;
    const now = rows.findIndex((row) => "atHand" in row.dataset);
    const next = rows[Math.min(rows.length - 1, Math.max(0, now + step))];
    for (const row of rows) delete row.dataset.atHand;
    next.dataset.atHand = "";
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (off() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog?.open) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const row = $("tr[data-at-hand]");
    const acts = { "/": () => $("#goto")?.focus(), j: () => at(1), k: () => at(-1), x: () => { const box = row && $('input[type="checkbox"]', row); if (box) box.checked = !box.checked; }, p: toggle, "?": help };
    if (event.key === "Enter" && row && event.target === body) location.href = row.dataset.href;
    else if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
})();
