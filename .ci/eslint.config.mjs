// What the page of `numpyvae explore` is linted by: its files, put into one script.
const browser = ["atob", "Blob", "cancelAnimationFrame", "clearInterval", "DecompressionStream", "document",
  "getComputedStyle", "location", "matchMedia", "performance", "requestAnimationFrame", "ResizeObserver",
  "Response", "setInterval", "window"];

export default [{
  languageOptions: {
    ecmaVersion: 2022,
    sourceType: "script",
    globals: Object.fromEntries(browser.map((name) => [name, "readonly"])),
  },
  linterOptions: { reportUnusedDisableDirectives: "error" },
  rules: {
    eqeqeq: "error", "one-var": ["error", "never"], "no-undef": "error", "no-unused-vars": ["error", { args: "none" }], "no-shadow": "error",
    "no-var": "error", "prefer-const": ["error", { destructuring: "all" }], "no-redeclare": "error",
    "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
    "no-const-assign": "error", "no-dupe-keys": "error", "no-unreachable": "error", "no-self-assign": "error",
    "no-eval": "error", "no-implied-eval": "error", "no-implicit-globals": "off", "max-len": ["error", 120],
    complexity: ["error", 16], "max-lines-per-function": ["error", { max: 60, skipComments: true }],
  },
}];
