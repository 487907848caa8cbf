import { bubblewrapHarness } from "../support/bubblewrap-harness.ts";
import { requires } from "../support/requires.ts";
import { backendContract } from "./backend.contract.ts";

backendContract("bubblewrap", requires("bwrap", "python3"), bubblewrapHarness);
