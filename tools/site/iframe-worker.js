// Browsers start no Worker from a page that was opened from disk. The search of Material for MkDocs then asks for an
// IFrameWorker: a hidden frame that runs the script and passes messages on.
"use strict"
if (location.protocol === "file:") {
  window.IFrameWorker = class IFrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.waiting = []
      window.addEventListener("message", event => {
        if (!this.frame || event.source !== this.frame.contentWindow) return
        const passed = new MessageEvent("message", {data: event.data})
        this.dispatchEvent(passed)
        if (this.onmessage) this.onmessage(passed)
      })
      const start = () => {
        this.frame = document.createElement("iframe")
        this.frame.hidden = true
        this.frame.title = "search"
        document.body.appendChild(this.frame)
        const inside = this.frame.contentWindow
        inside.document.open()
        inside.document.write(
          "<!doctype html><html><body><script>" +
          "postMessage = function (message) { parent.postMessage(message, '*') };" +
          "importScripts = function () { return Array.from(arguments).reduce(function (before, url) {" +
          "  return before.then(function () { return new Promise(function (done) {" +
          "    var script = document.createElement('script'); script.src = url; script.onload = done;" +
          "    document.body.appendChild(script) }) }) }, Promise.resolve()) }" +
          "<\/script><script src=\"" + url + "\"><\/script></body></html>")
        inside.document.close()
        inside.addEventListener("load", () => {
          this.ready = true
          this.waiting.splice(0).forEach(message => this.send(message))
        })
      }
      if (document.body) start()
      else document.addEventListener("DOMContentLoaded", start)
    }
    send(message) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data: message}))
    }
    postMessage(message) {
      if (this.ready) this.send(message)
      else this.waiting.push(message)
    }
    terminate() {
      if (this.frame) this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
