package resource

// NftablesRules are a file with rules of nftables, and a unit that loads them, at boot as well, and again when nftables.service took them away with all others. Tables are what the
// unit takes away when it ends, each with its family: "ip kubewright_endpoint". The file has to be of a kind that can be loaded twice.
func NftablesRules(unit, description string, rules File, tables ...string) []Resource {
	end := ""
	for _, t := range tables {
		end += "ExecStop=-/usr/sbin/nft delete table " + t + "\n"
	}
	text := NewFile("/etc/systemd/system/"+unit, `# Kubewright wrote this, and writes it again when it is changed here: put more beside it with "systemctl edit".
[Unit]
Description=`+description+`
After=nftables.service firewalld.service ufw.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f `+rules.Path+`
ExecReload=/usr/sbin/nft -f `+rules.Path+`
`+end+`
[Install]
WantedBy=multi-user.target
`)
	return []Resource{rules, text, Unit{Name: unit, Active: true, Enabled: true, RestartOn: []ID{text.ID()}, ReloadOn: []ID{rules.ID()}}}
}
