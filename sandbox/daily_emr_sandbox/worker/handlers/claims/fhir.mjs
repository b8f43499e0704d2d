// The transaction bundle of a claim, and what may be told of an OperationOutcome.
const IDENTIFIER = 'https://fhir.dha.go.ke/eclaims/Identifier/claim-number'

export function bundleOf(row) {
  const { patient, diagnosis, intervention } = row.content
  const resources = [
    { resourceType: 'Patient', identifier: [{ value: patient }] },
    { resourceType: 'Organization', identifier: [{ value: row.facility }] },
    { resourceType: 'Coverage', status: 'active', payor: [{ display: row.payer }] },
    {
      resourceType: 'Claim',
      identifier: [{ system: IDENTIFIER, value: row.identifier }],
      status: 'active',
      use: row.claim_type,
      diagnosis: [{ sequence: 1, diagnosisCodeableConcept: { coding: [{ code: diagnosis }] } }],
      item: [{ sequence: 1, productOrService: { coding: [{ code: intervention }] } }],
    },
  ]
  return { resourceType: 'Bundle', type: 'transaction', entry: resources.map((resource) => ({ resource })) }
}

// The code of the first issue. Its text echoes what was sent.
export function issueOf(body) {
  const code = body?.issue?.[0]?.details?.coding?.[0]?.code
  return /^[a-z0-9-]{1,40}$/.test(code) ? code : 'other'
}
