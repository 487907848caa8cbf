import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 90_000,
    hookTimeout: 60_000,
    // a test that stays `only` hides all others
    allowOnly: false,
    reporters: ["default", "./test/support/closing-line-reporter.ts"],
  },
});
