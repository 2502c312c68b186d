"use strict";
const kycqRoot = document.currentScript.src.replace(/[^/]*$/, "");
// asynqmon leaves its metrics page blank while Prometheus does not answer: say that. It shows old data when the session has
// ended: load the form.
(() => {
  let banner;
  const show = (down) => {
    if (!down || banner) {
      if (!down && banner) { banner.remove(); banner = undefined; }
      return;
    }
    banner = document.createElement("div");
    banner.setAttribute("role", "alert");
    banner.textContent = "Prometheus does not answer, so metrics are missing. Check KYCQ_PROMETHEUS_URL with kycq doctor.";
    Object.assign(banner.style, {
      position: "fixed", bottom: "0", left: "0", right: "0", zIndex: "9999", padding: "12px", textAlign: "center",
      background: "#b71c1c", color: "#fff", fontFamily: "sans-serif",
    });
    document.body.append(banner);
  };
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    this.addEventListener("loadend", () => { if (this.status === 401) location.reload(); });
    if (String(url).includes("/api/metrics")) {
      this.addEventListener("loadend", () => show(this.status === 0 || this.status >= 500));
    }
    return open.call(this, method, url, ...rest);
  };
})();
