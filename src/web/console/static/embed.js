// For an existing page of a shop's admin: puts an object's story where a link for it stands.
//
//   <div data-integrator-link="https://hub.example/embed/objects/order/R123?store=...&signature=..."></div>
//   <script src="https://hub.example/embed.js" defer></script>
//
// The link is made by the shop's server through the hub's API and expires; the frame can do nothing but be read.
"use strict";
(() => {
  const own = document.currentScript ? new URL(document.currentScript.src).origin : null;
  const show = () => {
    for (const place of document.querySelectorAll("[data-integrator-link]")) {
      if (place.firstElementChild) continue;
      let link;
      try { link = new URL(place.dataset.integratorLink); } catch { continue; }
      if (!own || link.origin !== own || !link.pathname.startsWith("/embed/")) continue;
      const frame = document.createElement("iframe");
      frame.src = link.href;
      frame.title = place.dataset.integratorTitle || "What happened";
      frame.loading = "lazy";
      frame.referrerPolicy = "no-referrer";
      frame.sandbox = "allow-scripts allow-same-origin";
      frame.width = "100%";
      frame.height = place.dataset.integratorHeight || "480";
      frame.setAttribute("frameborder", "0");
      place.append(frame);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", show); else show();
})();
