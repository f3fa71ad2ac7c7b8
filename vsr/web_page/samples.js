// Shows the sample image that the slider selects, and keeps the selection when the page reloads itself.
"use strict";
{
  const slider = document.getElementById("sample");
  const images = [...document.querySelectorAll("img.sample")];
  const shown = document.getElementById("sample-step");
  const key = "vsr-sample-step";
  // Some browsers forbid storage for pages from a disk; the newest image is shown then.
  const stored = (value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(key);
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, value);
    } catch { /* without storage */ }
    return null;
  };
  const show = () => {
    images.forEach((image, number) => { image.hidden = number !== Number(slider.value); });
    shown.textContent = images[slider.value].dataset.step;
  };
  if (slider) {
    const before = images.findIndex((image) => image.dataset.step === stored());
    if (before >= 0) slider.value = before;
    show();
    slider.addEventListener("input", () => {
      show();
      const isLast = Number(slider.value) === images.length - 1;
      stored(isLast ? null : images[slider.value].dataset.step); // the newest stays the newest
    });
  }
}
