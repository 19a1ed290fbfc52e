// Search runs in a worker, and browsers start none on pages opened from a disk: there, a hidden frame takes its place.
// The name keeps Zensical's offline plugin from loading the shim of that name from another host.
if (location.protocol === "file:")
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      this.scope = this.frame.contentWindow
      // else Firefox puts another empty page in place of this one
      this.scope.document.open()
      this.scope.document.write("<!doctype html><body>")
      this.scope.document.close()
      // copies, as between real workers: each side changes what it gets
      this.scope.postMessage = data => this.onmessage?.({ data: structuredClone(data) })
      this.loaded = new Promise((resolve, reject) => {
        const script = this.scope.document.createElement("script")
        Object.assign(script, { src: url, onload: resolve, onerror: reject })
        this.scope.document.body.append(script)
      })
    }

    postMessage(message) {
      const data = structuredClone(message)
      this.loaded.then(() => this.scope.onmessage({ data }), error => this.onerror?.(error))
    }

    terminate() {
      this.frame.remove()
    }
  }
