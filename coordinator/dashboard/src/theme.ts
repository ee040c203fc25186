import { createTheme, type MantineColorsTuple } from '@mantine/core';

const petrol: MantineColorsTuple = [
  '#e7f6f6', '#d3ebeb', '#a5d6d6', '#74c0c0', '#4dadae', '#33a1a3', '#1f9a9d', '#0c7a7f', '#0f666c', '#0c5257',
]; // prettier-ignore
/** Mantine's, but darker where a light page writes with it or on it: 4.5 to 1 against white. */
const red: MantineColorsTuple = [
  '#fff5f5', '#ffe3e3', '#ffc9c9', '#ffa8a8', '#ff8787', '#fa5252', '#e03131', '#c92a2a', '#b02525', '#961f1f',
]; // prettier-ignore

export const theme = createTheme({
  colors: { petrol, red },
  primaryColor: 'petrol',
  // The same in the dark: what stands on a filled button is chosen by the light shade.
  primaryShade: 7,
  autoContrast: true,
  defaultRadius: 'sm',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  cursorType: 'pointer',
  respectReducedMotion: true,
});
