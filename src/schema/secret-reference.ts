import { z } from "zod";

/** Where a secret's value is found when it is needed; exactly one of the four. Never the value itself. */
export const secretReference = z
  .union(
    [
      z
        .strictObject({
          env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not the name of a variable: write letters, digits and underscores"),
        })
        .meta({ description: "a variable of the host's environment" }),
      z
        .strictObject({ file: z.string().regex(/^\//, 'must be absolute: write { file = "/path" }') })
        .meta({ description: "an absolute path; one trailing newline is not part of the value" }),
      z
        .strictObject({ command: z.array(z.string()).min(1, 'is empty: write { command = ["prog", "arg"] }') })
        .meta({ description: "argv of a program that prints the value" }),
      z
        .strictObject({
          vault: z
            .string()
            .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/, "is not the name of a secret: write letters, digits, underscores, dots and hyphens"),
        })
        .meta({ description: "a name that `agentkernel secret set` stored" }),
    ],
    {
      error:
        'must be a reference: write { env = "NAME" }, { file = "/path" }, { command = ["prog", "arg"] } or { vault = "NAME" }, never the value itself',
    },
  )
  .meta({ id: "SecretReference", title: "secret reference" });

export type SecretReference = z.infer<typeof secretReference>;
