/** Class ids of OCSF that our events become; the category is the first digit. */
export const OCSF_CLASS = {
  fileActivity: 1001,
  processActivity: 1007,
  eventLogActivity: 1008,
  detectionFinding: 2004,
  authentication: 3002,
  entityManagement: 3004,
  networkActivity: 4001,
  httpActivity: 4002,
  dnsActivity: 4003,
  applicationLifecycle: 6002,
  apiActivity: 6003,
} as const;
