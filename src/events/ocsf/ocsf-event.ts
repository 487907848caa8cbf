import type { OcsfVersion } from "../../schema/ocsf-version.ts";

export type Attributes = Readonly<Record<string, unknown>>;

/** An event as OCSF writes it. The attributes that every class has are named; the others follow from the class. */
export type OcsfEvent = {
  readonly class_uid: number;
  readonly activity_id: number;
  readonly type_uid: number;
  readonly category_uid: number;
  readonly severity_id: number;
  /** ms since 1970 */
  readonly time: number;
  readonly metadata: Attributes & {
    readonly version: string;
    /** the event's id, the key that readers drop duplicates by */
    readonly uid: string;
    readonly sequence?: number;
    readonly profiles?: readonly string[];
  };
  readonly unmapped?: Attributes;
  readonly [attribute: string]: unknown;
};

/** What a destination knows and an event does not. */
export type OcsfContext = {
  readonly version: OcsfVersion;
  readonly product: ProductInfo;
  /** `$HOSTNAME`, else the system's name */
  readonly hostname: string;
  /** place in the event's chain, for gap checks */
  readonly sequence?: number;
  /** id of the chain that the event stands in */
  readonly chain?: string;
};

export type ProductInfo = { readonly name: string; readonly vendor: string; readonly version: string };
