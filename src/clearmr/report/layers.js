"use strict";
// Layers: the sheets of codes, decoded and coloured. One window, one residual factor for all of them.
const makeLayers = (data) => {
  const { width, height, scales, layers } = data;
  const codes = {}; // layer -> 8-bit codes of the tile last drawn, for the readout
  const view = { low: data.window[0], high: data.window[1], factor: 1 };
  const tables = {};
  const scratch = document.createElement("canvas");
  scratch.width = width;
  scratch.height = height;
  const reader = scratch.getContext("2d", { willReadFrequently: true });

  const pack = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r;
  const ramps = Object.fromEntries(Object.entries(data.ramps).map(([name, hex]) => {
    const at = (i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16);
    return [name, Uint32Array.from({ length: 256 }, (_, i) => pack(at(3 * i), at(3 * i + 1), at(3 * i + 2)))];
  }));
  const valueOf = (scale, code) => scale.bottom + (scale.top - scale.bottom) * (code / 255) ** scale.gamma;
  const byte = (share) => Math.max(0, Math.min(255, Math.round(255 * share)));
  const colours = {
    grey: (value) => { const grey = byte((value - view.low) / (view.high - view.low)); return pack(grey, grey, grey); },
    difference: (value) => ramps.difference[byte((value * view.factor / data.sigmas + 1) / 2)],
  };

  function table(name) {
    const scale = scales[name];
    const colour = colours[scale.ramp] || ((_, code) => ramps[scale.ramp][code]);
    return (tables[name] ||= Uint32Array.from({ length: 256 }, (_, code) => colour(valueOf(scale, code), code)));
  }
  function forget(ramp) {
    for (const name of Object.keys(scales)) if (scales[name].ramp === ramp) delete tables[name];
  }
  function tile(layer, frame, slice) {
    const [nFrames, nSlices] = layer.n;
    const index = Math.min(frame, nFrames - 1) * nSlices + Math.min(slice, nSlices - 1);
    const place = index % layer.perSheet;
    const x = (place % layer.across) * width;
    const y = Math.floor(place / layer.across) * height;
    reader.drawImage(layer.images[Math.floor(index / layer.perSheet)], x, y, width, height, 0, 0, width, height);
    return reader.getImageData(0, 0, width, height);
  }
  function draw(name, canvas, frame, slice) {
    const picture = tile(layers[name], frame, slice);
    const pixels = new Uint32Array(picture.data.buffer);
    const coloured = table(layers[name].scale);
    const kept = (codes[name] ||= new Uint8Array(pixels.length));
    for (let i = 0; i < pixels.length; i++) {
      kept[i] = pixels[i] & 255;
      pixels[i] = coloured[kept[i]];
    }
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }
  function show(value) {
    if (Math.abs(value) < 1e-9 * (scales.grey ? scales.grey.top : 1)) return "0";
    return (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)).replace("-", "−");
  }
  function said(name, x, y) {
    const scale = scales[layers[name].scale];
    const value = valueOf(scale, codes[name][y * width + x]);
    const number = scale.ramp === "difference" ? value.toFixed(1).replace("-", "−") : show(value);
    return `${layers[name].label} ${number}${layers[name].unit ? ` ${layers[name].unit}` : ""}`;
  }
  async function loadSheet(source) {
    const image = new Image();
    await new Promise((done, failed) => {
      image.onload = done;
      image.onerror = () => failed(new Error("a broken picture"));
      image.src = source;
    });
    return image;
  }
  async function load() {
    for (const layer of Object.values(layers)) layer.images = await Promise.all(layer.sheets.map(loadSheet));
  }
  return {
    view, load, draw, said, show, width, height,
    names: Object.keys(layers),
    scaleOf: (name) => layers[name].scale,
    isImage: (name) => scales[layers[name].scale].ramp === "grey",
    isResidual: (name) => scales[layers[name].scale].ramp === "difference",
    label: (name) => { const said = (layers[name] && layers[name].label) || name; return said.charAt(0).toUpperCase() + said.slice(1); },
    setWindow(low, high) { Object.assign(view, { low, high }); forget("grey"); },
    setFactor(factor) { view.factor = factor; forget("difference"); },
  };
};
